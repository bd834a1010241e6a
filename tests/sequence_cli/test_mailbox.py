"""Tests of `sequences mailbox`: secret rotation, DNS records and sign-in."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner

from sequence_cli.main import app
from sequence_store.secrets.at_rest import SecretBox
from tests.conftest import SmtpSink
from tests.sequence_cli.name_server import SILENT, name_server
from tests.step_mailing_worker.scripted_smtp import ScriptedSmtp

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
    assert "2 secrets were encrypted with the newest key; 2 were up to date." in result.output
    assert "lost@sender.example" in result.output
    after = stored(database)
    box = SecretBox([NEW], takes_unsealed=False)
    assert [box.open(after[name]) for name in ("old", "new", "clear")] == ["one", "two", "three"]
    assert all(after[name] == before[name] for name in ("new", "kept", "lost"))


def test_rotation_seals_the_secrets_of_webhooks_too(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    monkeypatch.setenv("SECRET_KEYS", f"{NEW},{OLD}")
    with database.connect("owner") as connection:
        connection.execute(
            "INSERT INTO webhooks (url, secret, previous_secret, cursor_position)"
            " VALUES ('https://a.example', %s, %s, 0)",
            (sealed(OLD, "one"), sealed(NEW, "two")),
        )
    result = CliRunner().invoke(app, ["mailbox", "rotate-secrets"])
    assert "1 secrets were encrypted with the newest key; 1 were up to date." in result.output
    with database.connect("owner") as connection:
        row = connection.execute("SELECT secret, previous_secret FROM webhooks").fetchone()
    box = SecretBox([NEW], takes_unsealed=False)
    assert [box.open(secret) for secret in row] == ["one", "two"]


SPF, DMARC = ("sender.example", "TXT"), ("_dmarc.sender.example", "TXT")
DKIM = ("mail2026._domainkey.sender.example", "TXT")
KEY = rsa.generate_private_key(65537, 2048)


def published(key: Any) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
    return " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200))


GOOD = {
    SPF: ['"v=spf1 include:_spf.provider.example ~all"', '"some-verification=1"'],
    ("_spf.provider.example", "TXT"): ['"v=spf1 ip4:192.0.2.0/24 -all"'],
    DMARC: ['"v=DMARC1; p=quarantine; rua=mailto:d@sender.example"'],
    DKIM: [published(KEY)],
    ("sender.example", "MX"): ["10 mx.sender.example."],
}


@pytest.fixture
def mailbox(database: Any, smtp_sink: SmtpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A mailbox whose mails this deployment signs."""
    keys = tmp_path / "dkim"
    keys.mkdir()
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (keys / f"{DKIM[0]}.pem").write_bytes(pem)
    monkeypatch.setenv("DATABASE_URL", database.owner)
    monkeypatch.setenv("DKIM_KEYS", str(keys))
    monkeypatch.setenv("SMTP_PORT", str(smtp_sink.port))
    enter(database, ann="")
    return database


def check(records: Any) -> tuple[int, dict[str, tuple[str, str]]]:
    with name_server(records) as server:
        arguments = ["mailbox", "check", "ann@sender.example", "--json", "--nameserver", server]
        result = CliRunner().invoke(app, arguments)
    findings = json.loads(result.output)["findings"]
    return result.exit_code, {f["name"]: (f["grade"], f["detail"]) for f in findings}


def test_mailbox_in_order_is_found_in_order(mailbox: Any) -> None:
    status, findings = check(GOOD)
    assert {name: grade for name, (grade, _) in findings.items()} == dict.fromkeys(
        ["SPF", "DKIM", "DMARC", "MX", "sign-in"], "ok"
    )
    assert status == 0


def test_check_reads_well_and_names_the_server(mailbox: Any, smtp_sink: SmtpSink) -> None:
    with name_server(GOOD) as server:
        arguments = ["mailbox", "check", "Ann@Sender.example", "--nameserver", server]
        lines = CliRunner().invoke(app, arguments).output.splitlines()
    assert lines[0] == "ann@sender.example"
    assert lines[1] == "  SPF      ok       v=spf1 include:_spf.provider.example ~all"
    server = f"127.0.0.1:{smtp_sink.port} (none)"
    assert lines[-1] == f"  sign-in  ok       {server}, without sign-in: it has no username"


LOOKUPS = {f"i{n}.example": [f'"v=spf1 a mx include:i{n + 1}.example -all"'] for n in range(4)}


@pytest.mark.parametrize(
    ("name", "change", "grade", "detail"),
    [
        ("SPF", {SPF: []}, "failure", "no SPF record"),
        ("SPF", {SPF: ['"v=spf1 -all"', '"v=spf1 ~all"']}, "failure", "2 SPF records"),
        ("SPF", {SPF: ['"v=spf1 +all"']}, "failure", "allows any server"),
        ("SPF", {SPF: ['"v=spf1 mx"']}, "warning", "does not refuse other servers"),
        ("SPF", {SPF: ['"v=spf1 include:i0.example ~all"'], **{(n, "TXT"): t for n, t in LOOKUPS.items()}},
         "failure", "13 lookups"),
        ("SPF", {SPF: [SILENT]}, "failure", "no name server responds for sender.example"),
        ("DKIM", {DKIM: []}, "failure", "no record for our selector"),
        ("DKIM", {DKIM: ['"v=DKIM1; p="']}, "failure", "a different key"),
        ("DKIM", {DKIM: [published(rsa.generate_private_key(65537, 2048))]}, "failure", "a different key"),
        ("DMARC", {DMARC: []}, "failure", "no record at _dmarc.sender.example"),
        ("DMARC", {DMARC: ['"v=DMARC1; p=none"']}, "warning", "has no effect on receivers"),
        ("DMARC", {DMARC: ['"v=DMARC1; sp=none"']}, "failure", "has no policy"),
        ("DMARC", {DMARC: ['"v=DMARC1; p=none"', '"v=DMARC1; p=reject"']}, "failure", "2 DMARC records"),
        ("MX", {("sender.example", "MX"): []}, "failure", "accepts no mail"),
        ("MX", {("sender.example", "MX"): ["0 ."]}, "failure", "accepts no mail"),
    ],
)  # fmt: skip
def test_record_that_receivers_would_not_like_is_named(
    mailbox: Any, name: str, change: Any, grade: str, detail: str
) -> None:
    status, findings = check(GOOD | change)
    assert findings[name][0] == grade
    assert detail in findings[name][1]
    assert status == (grade == "failure")
    others = {other: found[0] for other, found in findings.items() if other != name}
    assert set(others.values()) == {"ok"}


def test_domain_that_others_sign_for_is_looked_up_under_the_usual_selectors(
    mailbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DKIM_KEYS")
    assert check(GOOD)[1]["DKIM"][0] == "warning"
    google = {("google._domainkey.sender.example", "TXT"): [published(KEY)]}
    assert check(GOOD | google)[1]["DKIM"] == ("ok", "google._domainkey.sender.example")
    short = {("google._domainkey.sender.example", "TXT"): ['"v=DKIM1; p="']}
    assert "revoked" in check(GOOD | short)[1]["DKIM"][1]


def test_sign_in_that_fails_says_what_the_server_says(mailbox: Any) -> None:
    server = ScriptedSmtp(script={"AUTH": "535 5.7.8 bad credentials for ann@sender.example"})
    try:
        with mailbox.connect("owner") as connection:
            connection.execute(
                "UPDATE mailboxes SET smtp_host = '127.0.0.1', smtp_port = %s, smtp_security = 'none',"
                " smtp_username = 'ann', smtp_secret = 'wrong'",
                (server.port,),
            )
        status, findings = check(GOOD)
    finally:
        server.close()
    assert status == 1
    assert findings["sign-in"][0] == "failure"
    assert findings["sign-in"][1].endswith("535 5.7.8 bad credentials for <address>")


def test_unknown_mailbox_is_reported(mailbox: Any) -> None:
    result = CliRunner().invoke(app, ["mailbox", "check", "nobody@sender.example"])
    assert (result.exit_code, "No mailbox has the address" in result.output) == (1, True)


def test_mail_to_oneself_is_sent_as_a_worker_sends_it(mailbox: Any, smtp_sink: SmtpSink) -> None:
    with name_server(GOOD) as server:
        arguments = ["mailbox", "check", "ann@sender.example", "--nameserver", server]
        result = CliRunner().invoke(app, [*arguments, "--send-to", "me@example.net"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("  mail     ok       127.0.0.1:")
    (mail,) = smtp_sink.wait_for(1)
    assert (mail.mail_from, mail.rcpt_to) == ("ann@sender.example", ["me@example.net"])
    assert b"DKIM-Signature:" in mail.data
    assert b"Subject: Test mail of ann@sender.example" in mail.data


def test_refused_mail_to_oneself_is_a_failure(mailbox: Any, smtp_sink: SmtpSink) -> None:
    smtp_sink.replies["RCPT"] = "550 5.7.1 not today"
    with name_server(GOOD) as server:
        arguments = ["mailbox", "check", "ann@sender.example", "--json", "--nameserver", server]
        result = CliRunner().invoke(app, [*arguments, "--send-to", "me@example.net"])
    findings = {f["name"]: f for f in json.loads(result.output)["findings"]}
    assert (result.exit_code, findings["sign-in"]["grade"], findings["mail"]["grade"]) == (1, "ok", "failure")
    assert findings["mail"]["detail"].endswith("550 5.7.1 not today")


def test_check_works_with_the_environment_of_a_workers_container(
    mailbox: Any, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("WORKER_DATABASE_URL", mailbox.worker)
    with name_server(GOOD) as server:
        arguments = ["mailbox", "check", "ann@sender.example", "--nameserver", server]
        result = CliRunner().invoke(app, [*arguments, "--send-to", "me@example.net"])
    assert result.exit_code == 0, result.output
    smtp_sink.wait_for(1)


def test_address_that_is_none_gets_no_mail(mailbox: Any, smtp_sink: SmtpSink) -> None:
    result = CliRunner().invoke(app, ["mailbox", "check", "ann@sender.example", "--send-to", "nobody"])
    assert (result.exit_code, "--send-to" in result.output) == (2, True)
    assert smtp_sink.mails == []
