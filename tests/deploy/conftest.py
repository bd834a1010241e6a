"""The files under deploy/, as data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
TERRAFORM = DEPLOY / "terraform"


def objects(*parts: str) -> list[dict[str, Any]]:
    """Return the objects of the manifests in a folder under deploy/kubernetes, as they are before a build."""
    files = sorted(KUBERNETES.joinpath(*parts).glob("*.yaml"))
    found = [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one]
    return [one for one in found if isinstance(one, dict) and one.get("kind") and "metadata" in one]


def settings_file() -> dict[str, str]:
    """Return the ConfigMap `sequence-settings` as the base makes it."""
    lines = (KUBERNETES / "base" / "settings.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def overlay_settings(overlay: str) -> dict[str, str]:
    """Return what an overlay says of the same."""
    kustomization = yaml.safe_load((KUBERNETES / "overlays" / overlay / "kustomization.yaml").read_text())
    maps = [m for m in kustomization.get("configMapGenerator", []) if m["name"] == "sequence-settings"]
    return dict(literal.split("=", 1) for m in maps for literal in m["literals"])


def secret_keys() -> dict[str, list[str]]:
    """Return the keys of each process's secret in AWS Secrets Manager."""
    keys: dict[str, list[str]] = json.loads((TERRAFORM / "secrets.json").read_text())
    return keys


RESET = object()


class ComposeLoader(yaml.SafeLoader):
    """YAML with Compose's own tag `!reset`, which takes away what an earlier file said."""


ComposeLoader.add_constructor("!reset", lambda *_: RESET)


def compose_files() -> list[tuple[str, ...]]:
    """Return which Compose files are used together: the first alone, and with each of the others."""
    names = sorted(file.name for file in DEPLOY.glob("docker-compose*.yaml"))
    alone = [name for name in names if name == "docker-compose.yaml"]
    return [tuple(alone), *((*alone, name) for name in names if name not in alone)] if alone else []


def compose_environments(files: tuple[str, ...], variables: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return each program of ours as Compose starts it, by its command, with its environment.

    `variables` stands for `.env`: what a file interpolates and what it passes on without a value.
    """
    environments: dict[str, dict[str, str]] = {}
    commands: dict[str, str] = {}
    for file in files:
        text = re.sub(
            r"\$\{(\w+)(?::-([^}]*))?\}",
            lambda found: variables.get(found[1]) or found[2] or "",
            (DEPLOY / file).read_text(encoding="utf-8"),
        )
        for name, service in yaml.load(text, ComposeLoader)["services"].items():
            if service is RESET:
                continue
            commands.setdefault(name, " ".join(map(str, service.get("command", []))))
            environment = environments.setdefault(name, {})
            for key, value in (service.get("environment") or {}).items():
                if value is RESET:
                    environment.pop(key, None)
                elif value is not None or key in variables:
                    environment[key] = str(variables[key] if value is None else value)
    ours = ("sequences ", "dagster ", "dagster-")
    return {
        f"{name}: {commands[name]}": environments[name]
        for name in environments
        if commands[name].startswith(ours)
    }
