"""Trial: mails through a Postfix relay, refused in sixteen ways by the server behind it; it returns them.

Postfix accepts each mail first, so a refusal comes back as a mail. The trial reads it as the reader of a
mailbox does.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from local_stack.processes import wait_until
from step_mailing_worker.imap import InboxAccount, NewMail, NewMails
from step_mailing_worker.mailbox_reader import MailboxReader
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.postfix_relay import running_relay, running_remote


class Refusal(NamedTuple):
    """How the remote server refuses, and who pays: the address, the mailbox, or nobody."""

    stage: str
    reply: str
    pays: str


REFUSALS = {
    "unknown user without a code": Refusal("rcpt", "550 No such user here", "address"),
    "unknown user behind a policy code": Refusal(
        "rcpt", "554 5.7.1 Recipient address rejected: User unknown", "address"
    ),
    "disabled account after the data": Refusal(
        "dot", "554 30 Sorry, your message cannot be delivered. This mailbox is disabled", "address"
    ),
    "unknown user in German": Refusal("rcpt", "550 Empfaenger unbekannt", "address"),
    "message too large": Refusal("dot", "552 5.3.4 Message size exceeds fixed limit", "nobody"),
    "mailbox full": Refusal("rcpt", "552 mailbox is full", "nobody"),
    "mailbox full for now": Refusal("rcpt", "452 4.2.2 over quota", "nobody"),
    "rate of the recipient": Refusal(
        "rcpt", "550 5.2.1 The user is receiving mail at a rate that prevents delivery", "nobody"
    ),
    "greylisting that outlives the queue": Refusal("rcpt", "451 4.7.1 Greylisting in action", "nobody"),
    "outage": Refusal("rcpt", "450 4.3.2 Service currently unavailable", "nobody"),
    "unknown refusal": Refusal("rcpt", "550 go away", "nobody"),
    "dmarc": Refusal(
        "dot", "550 5.7.509 Access denied, sending domain does not pass DMARC verification", "mailbox"
    ),
    "spf": Refusal("rcpt", "550 SPF check failed", "mailbox"),
    "block list": Refusal(
        "rcpt", "554 Service unavailable; Client host blocked using zen.spamhaus.org", "mailbox"
    ),
    "content": Refusal("dot", "550 Message content rejected, UBE", "mailbox"),
    "relaying": Refusal("rcpt", "550 relay not permitted", "mailbox"),
}  # fmt: skip


def address_of(name: str) -> str:
    return f"bob@{name.replace(' ', '-')}.example"


def read_returned(team: Team, mails: list[bytes]) -> dict[str, int]:
    """Record returned mails as the reader of the mailbox does."""
    reader = MailboxReader(team.settings())
    account = InboxAccount(
        mailbox_id=team.mailbox, address="ann@sender.example", imap_host="localhost", imap_port=143,
        imap_security="none", smtp_username="ann", smtp_secret="", positions={},
    )  # fmt: skip

    received = tuple(NewMail(uid, content, datetime.now(UTC)) for uid, content in enumerate(mails, 1))
    batch = NewMails("INBOX", 1, None, len(mails), 0, received)

    async def record() -> Any:
        async with await reader._connected() as connection:
            return await reader._record(connection, account, batch)

    return dict(asyncio.run(record())[0])


@pytest.mark.timeout(300)
def test_of_sixteen_refusals_the_right_party_pays_and_no_living_address_is_suppressed(team: Team) -> None:
    script = {address_of(name): (one.stage, one.reply) for name, one in REFUSALS.items()}
    with running_remote(script) as (remote, port), running_relay(port) as relay:
        team.smtp["smtp_port"] = relay
        team.start()
        sends = {name: team.send(contact=team.contact(address_of(name))) for name in REFUSALS}
        good = team.send(contact=team.contact("bob@welcome.example"))
        for message in (*sends.values(), good):
            assert team.becomes(message, "sent") == "accepted"
        assert wait_until(lambda: len(remote.returned) == len(REFUSALS), 120), len(remote.returned)
        assert remote.accepted == ["bob@welcome.example"]
    recorded = read_returned(team, remote.returned)
    assert recorded == {"bounce": 4, "soft_bounce": 12}
    for name, refusal in REFUSALS.items():
        ended = team.status_of(sends[name].contact_id)
        assert ended == ("bounced" if refusal.pays == "address" else "active"), name
        suppressed = team.one(
            "SELECT count(*) FROM suppressions WHERE address_hmac = address_hmac(%s, %s)",
            address_of(name),
            team.settings().address_pads,
        )
        assert suppressed == (refusal.pays == "address"), name
        blamed = team.one(
            "SELECT count(*) FROM policy_refusals WHERE contact_id = %s", sends[name].contact_id
        )
        assert blamed == (refusal.pays == "mailbox"), name
    reasons = team.connection.execute("SELECT parked_reason FROM mailboxes WHERE parked_until > now()")
    assert reasons.fetchall() == [("refused by policy",)]
    assert team.one("SELECT is_active FROM sequences")
    assert read_returned(team, remote.returned) == {}
