from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from sequence_cli.main import app
from sequence_store.secrets_at_rest import SecretBox

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))


def sealed(key: str, secret: str) -> str:
    return SecretBox([key], takes_unsealed=False).seal(secret)


def enter(database: Any, **secrets: str) -> None:
    with database.connect("owner") as connection:
        for name, secret in secrets.items():
            connection.execute(
                "INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time, smtp_secret)"
                " VALUES (%s, 1, '00:00', '00:00', %s)",
                (f"{name}@sender.example", secret),
            )


def stored(database: Any) -> dict[str, str]:
    with database.connect("owner") as connection:
        rows = connection.execute("SELECT split_part(address, '@', 1), smtp_secret FROM mailboxes")
        return dict(rows.fetchall())


def test_rotation_seals_everything_with_the_newest_key_and_says_what_no_key_opens(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    monkeypatch.setenv("SECRET_KEYS", f"{NEW},{OLD}")
    enter(database, old=sealed(OLD, "one"), new=sealed(NEW, "two"), clear="three", kept="secretsmanager:four")
    enter(database, lost=sealed(LOST, "five"))
    before = stored(database)
    result = CliRunner().invoke(app, ["mailbox", "rotate-secrets"])
    assert result.exit_code == 1
    assert "2 secrets sealed with the newest key, 2 were already." in result.output
    assert "lost@sender.example" in result.output
    after = stored(database)
    box = SecretBox([NEW], takes_unsealed=False)
    assert [box.open(after[name]) for name in ("old", "new", "clear")] == ["one", "two", "three"]
    assert all(after[name] == before[name] for name in ("new", "kept", "lost"))
