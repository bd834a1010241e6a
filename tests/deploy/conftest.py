"""Parses the files of the deployments."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
TERRAFORM = DEPLOY / "terraform"


def objects(*parts: str) -> list[dict[str, Any]]:
    """Return the objects of the manifests in a folder of deploy/kubernetes, before kustomize builds them."""
    files = sorted(KUBERNETES.joinpath(*parts).glob("*.yaml"))
    found = [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one]
    return [one for one in found if isinstance(one, dict) and one.get("kind") and "metadata" in one]


def settings_file() -> dict[str, str]:
    """Return the ConfigMap `sequence-settings` of the base."""
    lines = (KUBERNETES / "base" / "settings.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def overlay_settings(overlay: str) -> dict[str, str]:
    """Return the values that an overlay sets in the same ConfigMap."""
    kustomization = yaml.safe_load((KUBERNETES / "overlays" / overlay / "kustomization.yaml").read_text())
    maps = [m for m in kustomization.get("configMapGenerator", []) if m["name"] == "sequence-settings"]
    return dict(literal.split("=", 1) for m in maps for literal in m["literals"])


def secret_keys() -> dict[str, list[str]]:
    """Return the keys of each process's secret in AWS Secrets Manager."""
    keys: dict[str, list[str]] = json.loads((TERRAFORM / "secrets.json").read_text())
    return keys


RESET = object()


class ComposeLoader(yaml.SafeLoader):
    """Loads YAML with Compose's tag `!reset`, which removes the value of an earlier file."""


ComposeLoader.add_constructor("!reset", lambda *_: RESET)


COMPOSE = ROOT / "docker-compose.yaml"
COMPOSE_OVERLAYS = sorted(DEPLOY.glob("docker-compose.*.yaml"))


def compose_files() -> list[tuple[Path, ...]]:
    """Return the Compose files that are used together: the main file alone, and with each overlay."""
    return [(COMPOSE,), *((COMPOSE, overlay) for overlay in COMPOSE_OVERLAYS)]


def compose_environments(files: tuple[Path, ...], variables: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the environment of each container of the product, by service and command.

    `variables` are the contents of `.env`: the files interpolate them, and pass on those without a value.
    """
    environments: dict[str, dict[str, str]] = {}
    commands: dict[str, str] = {}
    for file in files:
        text = re.sub(
            r"\$\{(\w+)(?::-([^}]*))?\}",
            lambda found: variables.get(found[1]) or found[2] or "",
            file.read_text(encoding="utf-8"),
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
