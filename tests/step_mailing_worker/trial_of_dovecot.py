"""Trial of reading a large mailbox from Dovecot: 20,000 old mails, moves, new UIDVALIDITY, two readers.

Run by `make trial NAME=dovecot-large`; pytest collects it only if it is named.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from imapclient import IMAPClient

from local_stack.ports import LOOPBACK
from sequence_store.failpoints import Failpoint
from step_mailing_worker.mailbox_reader import MailboxReader
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.returned import mail, report
from tests.step_mailing_worker.test_mailbox_reader import PASSWORD, ImapServer, imap_folder, inbox, sent

__all__ = ["imap_folder", "inbox"]

OLD, RECENT, ANSWERED = 20_000, 5_000, 200
MOST_SECONDS = 8.0  # of the reader's own processor for RECENT mails
pytestmark = [pytest.mark.timeout(3000), pytest.mark.parametrize("inbox", ["dovecot"], indirect=True)]
NEWS = (
    b"From: news@shop.example\r\nSubject: News\r\nList-Unsubscribe: <https://x.example>\r\n"
    b"Message-ID: <%d@x>\r\n\r\n" + b"News\r\n" * 200
)


def client_of(server: ImapServer) -> IMAPClient:
    client = IMAPClient(LOOPBACK, server.port, ssl=False)
    client.login("ann", PASSWORD)
    return client


def fill(folder: Path, first: int, mails: list[bytes]) -> None:
    """Write mails into the maildir, as a delivery agent does: by IMAP it would take minutes."""
    owner = (folder / "mail" / "ann" / "new").stat()
    for place, content in enumerate(mails, first):
        file = folder / "mail" / "ann" / "new" / f"{1_700_000_000 + place}.{place}.x"
        file.write_bytes(content)
        os.chown(file, owner.st_uid, owner.st_gid)


def read(team: Team) -> dict[str, int]:
    return dict(asyncio.run(MailboxReader(team.settings()).run_once()))


def start(team: Team, **variables: str) -> subprocess.Popen[bytes]:
    program = Path(sys.executable).parent / "sequences"
    return subprocess.Popen(
        [program, "inbox", "--once"],
        env=os.environ | {"WORKER_DATABASE_URL": team.database.worker, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=program.parent,
    )


def judged(team: Team) -> tuple[Any, ...]:
    return tuple(
        team.one(
            "SELECT (SELECT count(*) FROM send_events WHERE kind IN ('reply', 'bounce')),"
            " (SELECT count(*) FROM inbox_mails), (SELECT count(*) FROM sequences_contacts WHERE status"
            " IN ('replied', 'bounced'))"
        )
    )


def test_each_mail_is_judged_once_whatever_happens_to_the_mailbox(
    team: Team, inbox: ImapServer, imap_folder: Path
) -> None:
    with client_of(inbox) as client:
        client.select_folder("INBOX")  # makes the maildir
        client.create_folder("Archive")
    keys = [sent(team).key for _ in range(ANSWERED)]
    answers = [report(key) if place % 4 == 0 else mail(key) for place, key in enumerate(keys)]
    # The reports of different contacts have one Message-ID in the builder; a server's differ.
    answers = [one.replace(b"<report-", b"<report-%d-" % place) for place, one in enumerate(answers)]
    content = [NEWS % number for number in range(OLD)] + answers
    random.Random(1).shuffle(content)
    fill(imap_folder, 0, content)
    for point in (Failpoint.MAILS_FETCHED, Failpoint.MAILS_RECORDED, Failpoint.MAILS_PASSED):
        killed = start(team, CRASH_AT=point)
        assert killed.wait(300) == -9
    with client_of(inbox) as client, ThreadPoolExecutor(2) as readers:
        both = [readers.submit(start(team, INBOX_FOLDERS="Archive").wait, 1500) for _ in range(2)]
        client.select_folder("INBOX")
        for _ in range(50):
            uids = client.search("ALL")
            client.move(random.Random(2).sample(uids, 20), "Archive")
            time.sleep(0.05)
        assert [one.result() for one in both] == [0, 0]
    assert start(team, INBOX_FOLDERS="Archive").wait(1500) == 0
    team.run("UPDATE inbox_positions SET uid_validity = uid_validity - 1")
    assert start(team, INBOX_FOLDERS="Archive").wait(1500) == 0
    assert judged(team) == (ANSWERED, ANSWERED, ANSWERED)


def test_recent_mails_cost_little_of_the_processor(team: Team, inbox: ImapServer, imap_folder: Path) -> None:
    with client_of(inbox) as client:
        client.select_folder("INBOX")  # makes the maildir
    keys = [sent(team).key for _ in range(50)]
    fill(imap_folder, 0, [mail(keys[n % 50]) if n % 3 == 0 else NEWS % n for n in range(RECENT)])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert start(team).wait(600) == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert team.one("SELECT sum(mails)::integer FROM inbox_counts") == RECENT
    print(f"{RECENT} mails: {seconds:.1f} s of the reader's processor")  # noqa: T201
    assert seconds <= MOST_SECONDS
