"""Stores the sink's mails: one .eml file and one JSON line in an index per mail; reads both at a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from pathlib import Path

INDEX = "index.jsonl"


@dataclass(frozen=True)
class Entry:
    """Index entry of an accepted mail; `accepted_at` is ISO 8601 in UTC, to the millisecond."""

    id: int
    accepted_at: str
    mail_from: str
    rcpt_to: list[str]
    message_id: str
    subject: str
    size: int

    def matches(self, words: str) -> bool:
        """Return whether sender, recipients or subject contain `words`, ignoring case."""
        return words.casefold() in "\n".join([self.mail_from, *self.rcpt_to, self.subject]).casefold()


@dataclass(frozen=True)
class Content:
    """Content of a mail: decoded headers in order, the text and HTML bodies (None if missing), the source."""

    headers: list[tuple[str, str]]
    text: str | None
    html: str | None
    source: str


class MailStore:
    """The mails of one folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._entries = list(_read_index(folder / INDEX))
        self._next = max((entry.id for entry in self._entries), default=0) + 1
        self._index = (folder / INDEX).open("a", encoding="utf-8")

    def close(self) -> None:
        self._index.close()

    def add(self, mail_from: str, rcpt_to: list[str], source: bytes) -> Entry:
        """Store a mail. It is written to files before this returns, but not synced to disk."""
        headers = BytesHeaderParser(policy=policy.compat32).parsebytes(source)
        entry = Entry(
            id=self._next,
            accepted_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            mail_from=mail_from,
            rcpt_to=rcpt_to,
            message_id=str(headers.get("Message-ID", "")).strip(),
            subject=_decoded(source) if "Subject" in headers else "",
            size=len(source),
        )
        self._path(entry.id).write_bytes(source)
        self._index.write(json.dumps(asdict(entry)) + "\n")
        self._index.flush()
        self._next += 1
        self._entries.append(entry)
        return entry

    def find(self, words: str = "") -> list[Entry]:
        """Return the matching entries, newest first."""
        return [entry for entry in reversed(self._entries) if not words or entry.matches(words)]

    def get(self, number: int) -> Entry | None:
        return next((entry for entry in reversed(self._entries) if entry.id == number), None)

    def source(self, entry: Entry) -> bytes:
        return self._path(entry.id).read_bytes()

    def content(self, entry: Entry) -> Content:
        source = self.source(entry)
        message = BytesParser(policy=policy.default).parsebytes(source)
        return Content(
            headers=[(name, str(value)) for name, value in message.items()],
            text=_body(message, "plain"),
            html=_body(message, "html"),
            source=source.decode(errors="replace"),
        )

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.eml"


def _read_index(file: Path) -> Iterator[Entry]:
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError):  # the last line was cut off by a crash
                continue


def _decoded(source: bytes) -> str:
    return str(BytesHeaderParser(policy=policy.default).parsebytes(source)["Subject"])


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return None
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # an unknown charset
        return bytes(part.get_payload(decode=True) or b"").decode(errors="replace")
