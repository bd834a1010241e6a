"""Reads the new mails of a mailbox's INBOX without marking them as read. Blocking: run it in a thread."""

from __future__ import annotations

import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from sequence_store.domain.states import AttemptReason
from sequence_store.networks import is_private
from sequence_store.sqs import batched
from step_mailing_worker.credentials import Credential
from step_mailing_worker.errors import LostError, NoCredentialError
from step_mailing_worker.networks import IMAP_PORTS, refusal
from step_mailing_worker.smtp_replies import Phase

LONGEST_MAIL = 262_144  # bytes; the Message-ID of the send is in the header or soon after the report
MAILS_AT_ONCE = 20
_ANSWER_SECONDS = 30
_PORTS = {"tls": 993, "starttls": 143, "none": 143}


@dataclass(frozen=True)
class InboxAccount:
    """A mailbox's IMAP server and sign-in, and the position up to which its INBOX has been read."""

    mailbox_id: int
    address: str
    imap_host: str
    imap_port: int | None
    imap_security: str | None
    smtp_username: str
    smtp_secret: str | None = field(repr=False)
    uid_validity: int | None
    last_uid: int | None

    @property
    def security(self) -> str:
        return self.imap_security or "tls"


@dataclass(frozen=True)
class NewMails:
    """A batch of mails in the order of their uids, and the position to store once they are recorded."""

    uid_validity: int
    last_uid: int
    mails: tuple[bytes, ...]


def read_new_mails(
    account: InboxAccount, credential: Credential, *, lookback_days: int, public: bool = False
) -> Generator[NewMails, None, None]:
    """Yield the new mails in batches of at most MAILS_AT_ONCE; raise LostError or NoCredentialError."""
    with _translated_errors(), _signed_in(account, credential, public=public) as client:
        selected = client.select_folder("INBOX", readonly=True)
        validity = int(selected[b"UIDVALIDITY"])
        uids = _new_uids(client, account, validity, lookback_days)
        for batch in batched(uids, MAILS_AT_ONCE):
            fetched = client.fetch(batch, [f"BODY.PEEK[]<0.{LONGEST_MAIL}>"])
            mails = tuple(fetched[uid].get(b"BODY[]<0>") or b"" for uid in batch if uid in fetched)
            yield NewMails(validity, batch[-1], mails)
        if not uids and account.uid_validity != validity:
            yield NewMails(validity, int(selected.get(b"UIDNEXT", 1)) - 1, ())


def _new_uids(client: IMAPClient, account: InboxAccount, validity: int, lookback_days: int) -> list[int]:
    """Return the uids above the last one read; in a folder read for the first time, those of the lookback."""
    if account.uid_validity == validity and account.last_uid is not None:
        found = client.search(["UID", f"{account.last_uid + 1}:*"])
        return sorted(uid for uid in found if uid > account.last_uid)  # `n:*` always includes the last uid
    since = (datetime.now(UTC) - timedelta(days=lookback_days)).date()
    return sorted(client.search(["SINCE", since]))


@contextmanager
def _signed_in(account: InboxAccount, credential: Credential, *, public: bool) -> Iterator[IMAPClient]:
    context = ssl.create_default_context()
    port = account.imap_port or _PORTS[account.security]
    if public and (reason := refusal(account.imap_host, port, IMAP_PORTS)):
        raise NoCredentialError(reason)
    client = IMAPClient(
        account.imap_host,
        port,
        ssl=account.security == "tls",
        ssl_context=context if account.security == "tls" else None,
        timeout=_ANSWER_SECONDS,
    )
    try:
        if public and is_private(client.socket().getpeername()):
            raise NoCredentialError(AttemptReason.PRIVATE_HOST)
        if account.security == "starttls":
            client.starttls(context)
        if credential.kind == "token":
            client.oauth2_login(account.smtp_username, credential.text)
        else:
            client.login(account.smtp_username, credential.text)
        yield client
    finally:
        client.shutdown()


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except LoginError:
        raise NoCredentialError(AttemptReason.SIGN_IN_REFUSED) from None
    except ssl.SSLCertVerificationError:
        raise NoCredentialError(AttemptReason.CERTIFICATE_NOT_TRUSTED) from None
    except TimeoutError as error:
        raise LostError(Phase.CONNECT, timed_out=True) from error
    except (IMAPClientError, OSError, EOFError) as error:
        raise LostError(Phase.CONNECT) from error
