"""Tests that programs refuse to start with a default secret or a missing setting, and name the variable."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
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
    WebhookSettings,
    WorkerSettings,
    read_settings,
    refuse_default_passwords,
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
KINDS = (
    ApiSettings,
    ObserverSettings,
    OperatorSettings,
    OwnerSettings,
    PipelineSettings,
    WebhookSettings,
    WorkerSettings,
)


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
        (["webhooks"], "PIPELINE_DATABASE_URL"),
        (["stats"], "READONLY_DATABASE_URL"),
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


SINKS = [
    ("mail-sink", "587", "SMTP_HOST"),
    ("mailhog.example", "587", "SMTP_HOST"),
    ("127.0.0.1", "25", "SMTP_HOST"),
    ("127.1", "25", "SMTP_HOST"),
    ("2130706433", "25", "SMTP_HOST"),
    ("::1", "25", "SMTP_HOST"),
    ("[::ffff:127.0.0.1]", "25", "SMTP_HOST"),
    ("0.0.0.0", "25", "SMTP_HOST"),
    ("LocalHost.", "25", "SMTP_HOST"),
    ("smtp.localhost", "25", "SMTP_HOST"),
    ("smtp.example.com", "1025", "SMTP_PORT"),
    ("smtp.example.com", "8025", "SMTP_PORT"),
    ("smtp.example.com", None, "SMTP_PORT"),  # the default is the sink's port
]


@pytest.mark.parametrize("kind", [OperatorSettings, WorkerSettings])
@pytest.mark.parametrize(("host", "port", "named"), SINKS)
def test_mail_sink_is_refused_outside_local(
    monkeypatch: pytest.MonkeyPatch, kind: Any, host: str, port: str | None, named: str
) -> None:
    _set(monkeypatch, SMTP_HOST=host, SMTP_PORT=port)
    with pytest.raises(SettingsError, match=rf"{named}.*in the environment 'production': a mail sink"):
        read_settings(kind)
    monkeypatch.setenv("SEQUENCE_ENVIRONMENT", "local")
    assert read_settings(kind).smtp_host == host


@pytest.mark.parametrize(
    ("host", "port"), [("smtp.example.com", "587"), ("mail.example.com", "25"), ("ses:eu-west-1", None)]
)
def test_mail_server_is_accepted_outside_local(
    monkeypatch: pytest.MonkeyPatch, host: str, port: str | None
) -> None:
    _set(monkeypatch, SMTP_HOST=host, SMTP_PORT=port)
    assert read_settings(WorkerSettings).smtp_host == host


def test_sink_is_the_default_server_in_local_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in (None, ""):
        _set(monkeypatch, SMTP_HOST=host, LOCAL_SMTP_HOST="mail-sink")
        assert read_settings(WorkerSettings).smtp_host == ""
        monkeypatch.setenv("SEQUENCE_ENVIRONMENT", "local")
        assert read_settings(WorkerSettings).smtp_host == "mail-sink"
    monkeypatch.delenv("LOCAL_SMTP_HOST")
    assert read_settings(WorkerSettings).smtp_host == "127.0.0.1"


COMPOSE = Path(__file__).parents[2] / "docker-compose.yaml"
TRIAL = "postgresql://somebody:local@db.example/sequences"


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (["migrate"], "DATABASE_URL"),
        (["migrate"], "READONLY_DATABASE_URL"),
        (["api"], "API_DATABASE_URL"),
        (["worker"], "WORKER_DATABASE_URL"),
        (["inbox", "--once"], "WORKER_DATABASE_URL"),
        (["webhooks"], "PIPELINE_DATABASE_URL"),
        (["worker"], "VALKEY_URL"),
    ],
)
def test_password_of_a_trial_is_refused_outside_local(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, command: list[str], variable: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _set(monkeypatch, **{variable: TRIAL.replace("postgresql", "valkey") if "VALKEY" in variable else TRIAL})
    with pytest.raises(SettingsError, match=rf"{variable} must not contain the password 'local'"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_pipelines_refuse_the_password_of_a_trial_outside_local(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIPELINE_DATABASE_URL", "DAGSTER_DATABASE_URL", "CELERY_BROKER_URL"):
        with monkeypatch.context() as patch:
            _set(patch, **{name: TRIAL})
            with pytest.raises(SettingsError, match=f"^{name} must not contain the password"):
                refuse_default_passwords(read_settings(PipelineSettings))
    _set(monkeypatch, PIPELINE_DATABASE_URL=TRIAL)
    monkeypatch.setenv("SEQUENCE_ENVIRONMENT", "local")
    refuse_default_passwords(read_settings(PipelineSettings))


def test_compose_names_the_variables_of_the_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URLs are made by docker-compose.yaml; `.env` has only the passwords."""
    _set(monkeypatch, PIPELINE_DATABASE_URL=TRIAL, SEQUENCE_DEPLOYMENT="compose")
    with pytest.raises(SettingsError) as refused:
        refuse_default_passwords(read_settings(PipelineSettings))
    used = set(re.findall(r"\$\{(\w+_PASSWORD):-local\}@", COMPOSE.read_text()))
    assert used
    assert {name for name in used if name in str(refused.value)} == used
    assert "deploy/secrets.sh" in str(refused.value)


@pytest.mark.parametrize(
    ("deployment", "said"),
    [(None, "sequences stack up"), ("compose", "deploy/.env.example"), ("kubernetes", "sequence-settings")],
)
def test_message_speaks_of_the_deployment_that_the_program_runs_in(
    monkeypatch: pytest.MonkeyPatch, deployment: str | None, said: str
) -> None:
    _set(monkeypatch, ADDRESS_KEY=None, SEQUENCE_DEPLOYMENT=deployment)
    with pytest.raises(SettingsError, match=said) as refused:
        read_settings(WorkerSettings)
    assert ("sequences stack up" in str(refused.value)) is (deployment is None)
