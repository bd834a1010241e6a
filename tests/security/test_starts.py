"""Tests that programs refuse to start with a default secret or a missing setting, and name the variable."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from typer.testing import CliRunner

from sequence_cli.main import CLI, app
from sequence_store import settings as module
from sequence_store.errors import SettingsError
from sequence_store.settings import (
    LOCAL_ADDRESS_KEY,
    LOCAL_LINK_KEY,
    LOCAL_SECRET_KEY,
    ApiSettings,
    LinkSettings,
    ObserverSettings,
    OperatorSettings,
    OwnerSettings,
    PipelineSettings,
    SecretSettings,
    Settings,
    WorkerSettings,
    read_settings,
)

OWN_SECRET = "b3duLWtleS1vZi1zZWNyZXRzLW93bi1rZXktb2Ytc2U="
DATABASES = dict.fromkeys(
    (
        *("DATABASE_URL", "API_DATABASE_URL", "PIPELINE_DATABASE_URL", "WORKER_DATABASE_URL"),
        "READONLY_DATABASE_URL",
    ),
    "postgresql://somebody:canary-password@db.example/sequences",
)
IN_ORDER = DATABASES | {
    "SEQUENCE_ENVIRONMENT": "production",
    "ADDRESS_KEY": "own-canary-address-key",
    "LINK_KEYS": "own-canary-link-key",
    "SECRET_KEYS": OWN_SECRET,
    "PUBLIC_URL": "https://mail.example.com",
}
KINDS = (ApiSettings, ObserverSettings, OperatorSettings, OwnerSettings, PipelineSettings, WorkerSettings)


def _set(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    for name, value in (IN_ORDER | changes).items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)


def test_all_kinds_are_tried() -> None:
    tried = {parent for kind in KINDS for parent in kind.__mro__}
    found = {kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Settings)}
    assert found <= tried | {LinkSettings, SecretSettings}


@pytest.mark.parametrize("kind", KINDS)
def test_program_with_keys_of_its_own_starts(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    _set(monkeypatch)
    assert read_settings(kind).sequence_environment == "production"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "default"),
    [("ADDRESS_KEY", LOCAL_ADDRESS_KEY), ("LINK_KEYS", LOCAL_LINK_KEY), ("SECRET_KEYS", LOCAL_SECRET_KEY)],
)
def test_default_secret_is_refused_outside_local_whether_it_is_set_or_not(
    monkeypatch: pytest.MonkeyPatch, kind: Any, name: str, default: str
) -> None:
    if name.lower() not in kind.model_fields:
        return
    for value in (default, None):
        _set(monkeypatch, **{name: value})
        with pytest.raises(SettingsError, match=name):
            read_settings(kind)


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (["migrate"], "DATABASE_URL"),
        (["api"], "API_DATABASE_URL"),
        (["worker"], "WORKER_DATABASE_URL"),
        (["inbox", "--once"], "WORKER_DATABASE_URL"),
        (["sends", "list"], "DATABASE_URL"),
        (["keys", "list"], "DATABASE_URL"),
        (["restore-guard", "--since", "2026-01-01T00:00:00Z"], "DATABASE_URL"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_command_without_its_database_names_the_variable_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, command: list[str], variable: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _set(monkeypatch, **dict.fromkeys(DATABASES))
    assert isinstance(app, CLI)
    with pytest.raises(SettingsError, match=variable) as refused:
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_show_no_secret_however_they_are_printed(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    _set(monkeypatch)
    settings = read_settings(kind)
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "canary" not in shown
        assert OWN_SECRET not in shown


def test_refused_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, SECRET_KEYS="canary-that-is-no-key")
    with pytest.raises(SettingsError) as refused:
        read_settings(WorkerSettings)
    assert "canary" not in str(refused.value)
    assert b"canary" not in pickle.dumps(str(refused.value))
