"""Tests that the settings of each deployment exist, and that every process gets the settings it requires."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sequence_store.errors import SettingsError
from sequence_store.settings import (
    LOCAL,
    ApiSettings,
    ObserverSettings,
    OwnerSettings,
    PipelineSettings,
    Settings,
    WebhookSettings,
    WorkerSettings,
    read_settings,
)
from tests.deploy.conftest import (
    ROOT,
    TERRAFORM,
    compose_environments,
    compose_files,
    objects,
    overlay_settings,
    secret_keys,
    settings_file,
)
from tests.docs.test_completeness import SETTINGS, rows

PROCESSES: dict[str, type[Settings]] = {
    "owner": OwnerSettings,
    "api": ApiSettings,
    "worker": WorkerSettings,
    "pipeline": PipelineSettings,
    "readonly": ObserverSettings,
}
DOCUMENTED = set(SETTINGS) | {name for name, *_ in rows("settings.md", width=3)}
OF_OTHERS = {"HOME", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"}
OUTSIDE_LOCAL = {"smtp_host": ""}  # no default: mailboxes have their own server
STAND_INS = {
    "ADDRESS_KEY": "an address key",
    "LINK_KEYS": "a link key",
    "SECRET_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}


def assert_starts(kind: type[Settings], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read `kind` from `environment` only; no setting may keep a default that only works on one machine."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(kind)
    assert settings.sequence_environment != LOCAL
    values = {name: str(value) for name, value in settings}
    assert not {name for name, value in OUTSIDE_LOCAL.items() if values.get(name, value) != value}
    assert not {name for name, value in values.items() if "127.0.0.1" in value or value.startswith(".local")}


def secrets_of(process: str) -> dict[str, str]:
    return {
        name: STAND_INS.get(name, "postgresql://role:secret@db.example/sequences")
        for name in secret_keys()[process]
    }


@pytest.mark.parametrize("overlay", ["plain", "production"])
@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_starts_on_kubernetes(
    process: str, overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = settings_file() | overlay_settings(overlay) | secrets_of(process)
    assert_starts(PROCESSES[process], environment, monkeypatch)


def test_kubernetes_uses_only_existing_settings() -> None:
    given = {
        entry["name"]
        for folder in ("base",)
        for one in objects(folder)
        if one["kind"] in {"Deployment", "Job"}
        for entry in one["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert given | set(settings_file()) | set(overlay_settings("production")) <= DOCUMENTED | OF_OTHERS


def test_terraform_uses_only_existing_settings() -> None:
    text = (TERRAFORM / "outputs.tf").read_text()
    printed = set(re.findall(r"^    ([A-Z_]+)\s+= ", text, re.MULTILINE))
    assert len(printed) == 6
    in_comments = set(re.findall(r"\(([A-Z_]{5,})\)", (TERRAFORM / "variables.tf").read_text()))
    assert printed | in_comments | {key for keys in secret_keys().values() for key in keys} <= DOCUMENTED
    assert printed <= set(settings_file()), "the overlay's ConfigMap has no such setting"


def test_missing_and_local_settings_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = settings_file() | secrets_of("api")
    for changed in ({"PUBLIC_URL": "http://127.0.0.1:8000"}, {"LINK_KEYS": ""}, {"API_HOST": "127.0.0.1"}):
        with monkeypatch.context() as patch, pytest.raises((SettingsError, AssertionError)):
            assert_starts(ApiSettings, environment | changed, patch)


IN_PRODUCTION = STAND_INS | {
    "SEQUENCE_ENVIRONMENT": "production",
    "PUBLIC_URL": "https://mail.example.com",
    "API_URL": "https://mail.example.com",
}
PROGRAMS: dict[str, type[Settings]] = {
    "sequences migrate": OwnerSettings,
    "sequences api": ApiSettings,
    "sequences worker": WorkerSettings,
    "sequences inbox": WorkerSettings,
    "sequences webhooks": WebhookSettings,
    "dagster code-server": PipelineSettings,
}


@pytest.mark.parametrize("files", compose_files(), ids=lambda files: " + ".join(file.name for file in files))
def test_each_process_starts_with_compose_and_gets_only_existing_settings(
    files: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = set()
    for program, environment in compose_environments(files, IN_PRODUCTION).items():
        assert set(environment) <= DOCUMENTED | OF_OTHERS, program
        for command, kind in PROGRAMS.items():
            if f": {command}" in program:
                with monkeypatch.context() as patch:
                    for name, value in environment.items():
                        patch.setenv(name, value)
                    assert read_settings(kind).sequence_environment == "production"
                started.add(command)
    assert started == set(PROGRAMS)


def test_the_generated_secrets_name_the_first_planning_day_once(tmp_path: Path) -> None:
    def generate() -> str:
        command = ["sh", str(ROOT / "deploy" / "secrets.sh")]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    first = generate()
    assert f"\nFIRST_PLANNING_DAY={datetime.now(UTC):%Y-%m-%d}\n" in first
    (tmp_path / ".env").write_text(first)
    assert "FIRST_PLANNING_DAY" not in generate()
    assert "FIRST_PLANNING_DAY" in settings_file()
