"""Tests of reading replies and bounces from real IMAP servers: pymap, and Dovecot if it is installed."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from imapclient import IMAPClient

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import end, launch, wait_ready, wait_until
from sequence_store.domain.messages import SendMessage
from step_mailing_worker import imap
from step_mailing_worker.mailbox_reader import MailboxReader
from tests.step_mailing_worker.certificates import Authority
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.returned import complaint, mail, report

DOVECOT = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin")
PASSWORD = "horse"

DOVECOT_CONF = """
protocols = imap
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{certificate}
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 0
first_valid_gid = 0
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/home
}}
"""


@dataclass(frozen=True)
class ImapServer:
    port: int

    def deliver(self, *mails: bytes) -> None:
        """Put mails into the INBOX, as a delivery agent does."""
        with IMAPClient(LOOPBACK, self.port, ssl=False) as client:
            client.login("ann", PASSWORD)
            for content in mails:
                client.append("INBOX", content)

    def unseen(self) -> int:
        with IMAPClient(LOOPBACK, self.port, ssl=False) as client:
            client.login("ann", PASSWORD)
            client.select_folder("INBOX", readonly=True)
            return len(client.search("UNSEEN"))


def _pymap(folder: Path, port: int) -> list[str]:
    program = str(Path(sys.executable).parent / "pymap")
    return [program, "--host", LOOPBACK, "--port", str(port), "--no-tls", "dict",
            "--demo-user", "ann", "--demo-password", PASSWORD]  # fmt: skip


def _dovecot(folder: Path, port: int) -> list[str]:
    """Configure Dovecot; as root it uses the accounts that its package creates, else this user."""
    root = os.geteuid() == 0
    own = pwd.getpwuid(os.getuid())
    mails = pwd.getpwnam("nobody") if root else own
    Authority(folder).context("right")
    (folder / "dovecot.conf").write_text(
        DOVECOT_CONF.format(
            folder=folder, port=port, internal="dovecot" if root else own.pw_name,
            login="dovenull" if root else own.pw_name, group=grp.getgrgid(mails.pw_gid).gr_name,
            uid=mails.pw_uid, gid=mails.pw_gid, password=PASSWORD, certificate=folder / "right.pem",
        )
    )  # fmt: skip
    (folder / "mail").mkdir()
    folder.chmod(0o755)
    os.chown(folder / "mail", mails.pw_uid, mails.pw_gid)
    assert DOVECOT
    return [DOVECOT, "-F", "-c", str(folder / "dovecot.conf")]


@pytest.fixture
def imap_folder() -> Iterator[Path]:
    """Create a folder that an unprivileged account can enter; pytest's folders allow only their owner."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(params=["pymap", "dovecot"])
def inbox(request: pytest.FixtureRequest, imap_folder: Path, team: Team) -> Iterator[ImapServer]:
    """An IMAP server with the INBOX of the team's mailbox."""
    if request.param == "dovecot" and not DOVECOT:
        pytest.skip("Dovecot is not installed (apt-get install dovecot-imapd)")
    port = free_port()
    command = (_pymap if request.param == "pymap" else _dovecot)(imap_folder, port)
    log = imap_folder / "imap.log"
    process = launch(command, log=log)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=30)
        team.run(
            "UPDATE mailboxes SET imap_host = '127.0.0.1', imap_port = %s, imap_security = 'none',"
            " smtp_username = 'ann', smtp_secret = %s",
            port,
            PASSWORD,
        )
        yield ImapServer(port)
    finally:
        end(process)


def read_once(team: Team, **changes: Any) -> dict[str, int]:
    return dict(asyncio.run(MailboxReader(team.settings(**changes)).run_once()))


def sent(team: Team) -> SendMessage:
    return team.dispatch(status="sent")


def test_reply_ends_its_sequence_and_an_out_of_office_does_not(team: Team, inbox: ImapServer) -> None:
    replied, away, silent = (sent(team) for _ in range(3))
    inbox.deliver(
        mail(replied.key), mail(away.key, headers="Auto-Submitted: auto-replied\n"), b"Subject: x\r\n\r\n"
    )
    assert read_once(team) == {"reply": 1, "auto_reply": 1}
    states = [team.status_of(message.contact_id) for message in (replied, away, silent)]
    assert states == ["replied", "active", "active"]
    assert inbox.unseen() == 3


def test_command_looks_once_and_tells_a_program_what_it_recorded(team: Team, inbox: ImapServer) -> None:
    inbox.deliver(mail(sent(team).key))
    program = Path(sys.executable).parent / "sequences"
    ran = subprocess.run(
        [program, "inbox", "--once", "--json"],
        env=os.environ | {"WORKER_DATABASE_URL": team.database.worker},
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(ran.stdout) == {"reply": 1}, ran.stderr


def test_reply_stops_the_next_step_though_it_is_dispatched(team: Team, inbox: ImapServer) -> None:
    first = sent(team)
    inbox.deliver(mail(first.key))
    read_once(team)
    second = team.send(contact=first.contact_id, step=team.enter_step(2))
    team.start()
    assert team.becomes(second, "cancelled") == "enrolment_replied"


def test_bounce_and_complaint_suppress_and_a_full_mailbox_does_not(team: Team, inbox: ImapServer) -> None:
    gone, angry, full = (sent(team) for _ in range(3))
    full_report = report(full.key, status="5.2.2", diagnostic="smtp; 552 5.2.2 over quota")
    inbox.deliver(report(gone.key), complaint(angry.key), full_report)
    assert read_once(team) == {"bounce": 1, "complaint": 1, "soft_bounce": 1}
    states = [team.status_of(message.contact_id) for message in (gone, angry, full)]
    assert states == ["bounced", "unsubscribed", "active"]
    reasons = team.connection.execute("SELECT reason FROM suppressions ORDER BY 1").fetchall()
    assert reasons == [("complaint",), ("hard_bounce",)]


def test_only_what_is_new_is_read_and_a_mail_counts_once_though_its_folder_is_made_anew(
    team: Team, inbox: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "MAILS_AT_ONCE", 2)
    first, second = sent(team), sent(team)
    inbox.deliver(*[b"Subject: nothing\r\n\r\n"] * 3, mail(first.key))
    assert read_once(team) == {"reply": 1}
    assert read_once(team) == {}
    inbox.deliver(mail(second.key))
    assert read_once(team) == {"reply": 1}
    team.run(
        "UPDATE inbox_positions SET uid_validity = uid_validity - 1"
    )  # as if the server had assigned a new UIDVALIDITY
    assert read_once(team) == {}
    assert team.one("SELECT count(*) FROM send_events WHERE kind = 'reply'") == 2


def test_wrong_password_costs_no_other_mailbox(team: Team, inbox: ImapServer) -> None:
    team.run(
        "INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time, imap_host, imap_port,"
        " imap_security, smtp_username, smtp_secret) VALUES ('cid@sender.example', 1, '0:00', '0:00',"
        " '127.0.0.1', %s, 'none', 'ann', 'wrong')",
        inbox.port,
    )
    message = sent(team)
    inbox.deliver(mail(message.key))
    assert read_once(team) == {"reply": 1}


def test_server_that_is_away_is_looked_at_again_at_the_next_read_once(team: Team, inbox: ImapServer) -> None:
    team.run("UPDATE mailboxes SET imap_port = %s", free_port())
    assert read_once(team) == {}
    team.run("UPDATE mailboxes SET imap_port = %s", inbox.port)
    message = sent(team)
    inbox.deliver(mail(message.key))
    assert read_once(team) == {"reply": 1}


def test_password_does_not_go_in_the_clear_outside_local(team: Team, inbox: ImapServer) -> None:
    inbox.deliver(mail(sent(team).key))
    assert read_once(team, sequence_environment="staging") == {}


@pytest.mark.parametrize("inbox", ["dovecot"], indirect=True)
def test_inbox_is_read_over_tls_and_only_where_its_certificate_fits(
    team: Team, inbox: ImapServer, imap_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.run("UPDATE mailboxes SET imap_security = 'starttls'")
    inbox.deliver(mail(sent(team).key))
    assert read_once(team) == {}
    monkeypatch.setenv("SSL_CERT_FILE", str(imap_folder / "authority.pem"))
    assert read_once(team) == {"reply": 1}


def test_process_reads_until_it_is_asked_to_stop(team: Team, inbox: ImapServer) -> None:
    variables = {"WORKER_DATABASE_URL": team.database.worker, "INBOX_POLL_SECONDS": "1"}
    program = str(Path(sys.executable).parent / "sequences")
    process = subprocess.Popen([program, "inbox"], env=os.environ | variables, stderr=subprocess.DEVNULL)
    try:
        message = sent(team)
        inbox.deliver(mail(message.key))
        assert wait_until(lambda: team.status_of(message.contact_id) == "replied", 20)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
