"""Reads the new mails of a mailbox's folders without marking them as read. Blocking: run it in a thread.

The inbox and the junk folder are read, which the server marks by their special use (RFC 6154), and the
folders of INBOX_FOLDERS; never a folder for sent mails, drafts, trash or all mails.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
MAILS_AT_ONCE = 50
INBOX = "INBOX"
_ANSWER_SECONDS = 30
_PORTS = {"tls": 993, "starttls": 143, "none": 143}
_JUNK = b"\\junk"
_NEVER = frozenset(
    {b"\\sent", b"\\drafts", b"\\trash", b"\\all", b"\\flagged", b"\\important", b"\\noselect"}
)
# Servers without SPECIAL-USE: the names that their junk folder usually has.
_JUNK_NAMES = frozenset(
    {"junk", "spam", "junk e-mail", "junk email", "bulk mail", "junk-e-mail", "inbox.junk", "inbox.spam"}
)


@dataclass(frozen=True)
class InboxAccount:
    """A mailbox's IMAP server and sign-in, and the position of each folder: its UIDVALIDITY and last UID."""

    mailbox_id: int
    address: str
    imap_host: str
    imap_port: int | None
    imap_security: str | None
    smtp_username: str
    smtp_secret: str | None = field(repr=False)
    positions: Mapping[str, Sequence[int]]

    @property
    def security(self) -> str:
        return self.imap_security or "tls"


@dataclass(frozen=True)
class NewMail:
    """A mail as it lies in its folder."""

    uid: int
    content: bytes
    received_at: datetime  # INTERNALDATE


@dataclass(frozen=True)
class NewMails:
    """A batch of a folder's mails in the order of their UIDs, and the positions before and after it.

    `expected` is the position that the folder must still have; None: it has none under this UIDVALIDITY.
    """

    folder: str
    uid_validity: int
    expected: int | None
    last_uid: int
    waiting: int  # mails of the folder behind this batch
    mails: tuple[NewMail, ...]


def read_new_mails(
    account: InboxAccount,
    credential: Credential,
    *,
    lookback_days: int,
    more_folders: Sequence[str] = (),
    public: bool = False,
) -> Generator[NewMails, None, None]:
    """Yield the new mails in batches of at most MAILS_AT_ONCE; raise LostError or NoCredentialError."""
    with _translated_errors(), _signed_in(account, credential, public=public) as client:
        for folder in _folders(client, more_folders):
            yield from _of_folder(client, account, folder, lookback_days)


def _folders(client: IMAPClient, more: Sequence[str]) -> list[str]:
    """Return the folders to read; a folder of `more` that the server does not have is left out."""
    listed = [(frozenset(flag.lower() for flag in flags), name) for flags, _, name in client.list_folders()]
    known = any(flags & {_JUNK, b"\\sent", b"\\drafts", b"\\trash"} for flags, _ in listed)
    wanted = {name.casefold() for name in more}
    chosen = [INBOX]
    for flags, name in listed:
        if flags & _NEVER or name.upper() == INBOX:
            continue
        is_junk = _JUNK in flags or (not known and name.casefold() in _JUNK_NAMES)
        if is_junk or name.casefold() in wanted:
            chosen.append(name)
    return chosen


def _of_folder(
    client: IMAPClient, account: InboxAccount, folder: str, lookback_days: int
) -> Generator[NewMails, None, None]:
    selected = client.select_folder(folder, readonly=True)
    validity = int(selected[b"UIDVALIDITY"])
    position = account.positions.get(folder)
    expected = position[1] if position and position[0] == validity else None
    uids = _new_uids(client, expected, lookback_days)
    waiting = len(uids)
    for batch in batched(uids, MAILS_AT_ONCE):
        fetched = client.fetch(batch, [f"BODY.PEEK[]<0.{LONGEST_MAIL}>", "INTERNALDATE"])
        waiting -= len(batch)
        mails = tuple(_mail(uid, fetched[uid]) for uid in batch if uid in fetched)
        yield NewMails(folder, validity, expected, batch[-1], waiting, mails)
        expected = batch[-1]
    if not uids:  # the folder was read: its position says so
        last = expected if expected is not None else int(selected.get(b"UIDNEXT", 1)) - 1
        yield NewMails(folder, validity, expected, last, 0, ())


def _mail(uid: int, fetched: Mapping[bytes, object]) -> NewMail:
    content = fetched.get(b"BODY[]<0>") or fetched.get(b"BODY[]") or b""
    at = fetched.get(b"INTERNALDATE")
    received = at.astimezone(UTC) if isinstance(at, datetime) else datetime.now(UTC)
    return NewMail(uid, content if isinstance(content, bytes) else b"", received)


def _new_uids(client: IMAPClient, expected: int | None, lookback_days: int) -> list[int]:
    """Return the UIDs above the last one read; in a folder read for the first time, those of the lookback."""
    if expected is not None:
        found = client.search(["UID", f"{expected + 1}:*"])
        return sorted(uid for uid in found if uid > expected)  # `n:*` always includes the last uid
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
    client.normalise_times = False  # INTERNALDATE with its offset
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
        with suppress(OSError):
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
