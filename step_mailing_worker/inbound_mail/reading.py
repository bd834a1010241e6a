"""Reads any bytes as a mail: its header fields, its parts and their decoded text. Raises no error.

The standard library's parser fails on some charsets, nests without a bound and does not decode an attached
mail in base64. This one is lenient and its time is linear: at most MOST_PARTS parts, nested MOST_LEVELS deep.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import quopri
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from html import unescape
from importlib.resources import files
from urllib.parse import unquote_to_bytes

from sequence_store.mail.plain_text import plain_text_of

MOST_PARTS = 60
MOST_LEVELS = 8
LONGEST_TEXT = 60_000  # characters of a part that are read as text
LONGEST_HEADER = 100_000  # bytes
MOST_VALUES = 50  # of a header field that is repeated

_FIELD = re.compile(r"^([!-9;-~]{1,100})[ \t]*:(.*)$", re.DOTALL)
_FOLDED = re.compile(rb"(?:\n[ \t]+|(?<=;)\n(?=(?i:boundary)=))")
_WORD = re.compile(r"=\?([^?\s]{0,60})\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t\r\n]+(?==\?[^?\s]{0,60}\?[bBqQ]\?)")
_PARAMETER = re.compile(r";\s*([\w.+*-]{1,40})\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^;\s]*)")
_NOT_TEXT_CODECS = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
)


@dataclass
class Part:
    """A part of a mail, or the mail itself. Names of header fields are in lower case."""

    fields: Mapping[str, tuple[str, ...]]
    body: bytes
    level: int = 0
    _count: list[int] = field(default_factory=lambda: [0])

    def raw(self, name: str) -> str:
        """Return the first value of a header field as it was written, unfolded; empty if it is missing."""
        values = self.fields.get(name)
        return values[0] if values else ""

    def text_of(self, name: str) -> str:
        """Return the first value of a header field with its encoded words decoded."""
        return decoded_header(self.raw(name))

    def all_raw(self, name: str) -> str:
        return " ".join(self.fields.get(name, ()))

    @cached_property
    def content_type(self) -> str:
        words = self.raw("content-type").partition(";")[0].lower().split()
        return words[0] if words and "/" in words[0] else "text/plain"

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        return _parameters(self.raw("content-type"))

    @cached_property
    def decoded_body(self) -> bytes:
        return decoded_body(self.body, self.raw("content-transfer-encoding"))

    @cached_property
    def text(self) -> str:
        """Return the text of a text part, or of any other part as if it were one; HTML as plain text."""
        raw = self.decoded_body[: 4 * LONGEST_TEXT]
        text = decoded(raw, self.parameters.get("charset", ""))[:LONGEST_TEXT]
        if self.content_type == "text/html":
            return plain_text_of(text)
        return text

    @cached_property
    def children(self) -> tuple[Part, ...]:
        """Return the parts of a multipart, or the attached mail."""
        if self.level >= MOST_LEVELS:
            return ()
        if self.content_type.startswith("multipart/"):
            return tuple(self._parts()) or (self._child(b"\n" + self.body),)
        if self.content_type in {"message/rfc822", "message/global", "message/news"}:
            return (self._child(self.decoded_body.lstrip(b"\n")),)
        return ()

    def _parts(self) -> Iterator[Part]:
        boundary = self.parameters.get("boundary", "")
        if not boundary:
            return
        opening = re.compile(
            rb"^--" + re.escape(boundary.encode("utf-8", "surrogateescape")) + rb"(--)?[ \t]*$", re.MULTILINE
        )
        start = -1
        for found in opening.finditer(self.body):
            if start >= 0 and self._count[0] < MOST_PARTS:
                yield self._child(self.body[start : max(start, found.start() - 1)])
            start = found.end() + 1
            if found[1]:
                return
        if 0 <= start < len(self.body) and self._count[0] < MOST_PARTS:
            yield self._child(self.body[start:])

    def _child(self, raw: bytes) -> Part:
        self._count[0] += 1
        part = _part(raw)
        return Part(part.fields, part.body, self.level + 1, self._count)

    def walk(self, *, into_mails: bool = True) -> Iterator[Part]:
        """Yield this part and all parts below it, without attached mails' if `into_mails` is false."""
        yield self
        if not into_mails and self.level and not self.content_type.startswith("multipart/"):
            return
        for child in self.children:
            yield from child.walk(into_mails=into_mails)


def read_mail(content: bytes) -> Part:
    """Read a mail. Line ends may be CRLF, LF or CR; a line `From …` of a mailbox file is skipped."""
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n")
    if lines.startswith((b"From ", b">From ")):
        lines = lines.partition(b"\n")[2]
    return _part(lines)


def _part(raw: bytes) -> Part:
    if raw.startswith(b"\n"):
        head, body = b"", raw[1:]
    else:
        head, _, body = raw.partition(b"\n\n")
    return Part(_fields(head[:LONGEST_HEADER]), body)


def _fields(head: bytes) -> dict[str, tuple[str, ...]]:
    """Read the fields. A boundary on a line of its own belongs to the field above: its blank was lost."""
    fields: dict[str, tuple[str, ...]] = {}
    unfolded = _FOLDED.sub(b" ", head)
    for line in unfolded.split(b"\n"):
        found = _FIELD.match(guessed(line))
        if found:
            name = found[1].lower()
            earlier = fields.get(name, ())
            fields[name] = (*earlier, found[2].strip())[:MOST_VALUES]
    return fields


def _parameters(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, quoted in _PARAMETER.findall(value[:4000]):
        text = re.sub(r"\\(.)", r"\1", quoted[1:-1]) if quoted.startswith('"') and len(quoted) > 1 else quoted
        base, star, rest = name.lower().partition("*")
        if star and (rest.endswith("*") or not rest) and text.count("'") >= 2:  # noqa: PLR2004  (RFC 2231)
            charset, _, encoded = text.partition("'")
            text = decoded(unquote_to_bytes(encoded.partition("'")[2]), charset)
        found[base] = found.get(base, "") + text if rest else text
    return found


def decoded_body(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding; a body that is not in it is returned as it is."""
    name = encoding.strip().strip('"').lower()
    if name == "base64":
        return _base64(body)
    if name == "quoted-printable":
        return quopri.decodestring(body)
    if name in {"x-uuencode", "uuencode", "x-uue"}:
        return _uuencoded(body)
    return body


def _base64(body: bytes) -> bytes:
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body.split(b"=", 1)[0] if b"=" in body[-4:] else body)
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    try:
        return base64.b64decode(letters + b"=" * (-len(letters) % 4))
    except (binascii.Error, ValueError):
        return body


def _uuencoded(body: bytes) -> bytes:
    lines = []
    for line in body.split(b"\n"):
        if not line.startswith((b"begin ", b"end")):
            try:
                lines.append(binascii.a2b_uu(line))
            except binascii.Error:
                continue
    return b"".join(lines)


def decoded_header(value: str) -> str:
    """Return a header value with its encoded words decoded, neighbours in one charset together."""
    if "=?" not in value:
        return " ".join(value.split())
    joined = _BETWEEN_WORDS.sub(r"\1", value)
    text, place, pending, charset = [], 0, b"", ""
    for found in _WORD.finditer(joined):
        between = joined[place : found.start()]
        name = found[1].partition("*")[0].lower()  # RFC 2231: charset*language
        if between or name != charset:
            text.append(decoded(pending, charset))
            pending, charset = b"", name
        text.append(between)
        pending += _word(found[2], found[3])
        place = found.end()
    text += [decoded(pending, charset), joined[place:]]
    return " ".join("".join(text).split())


def _word(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    if encoding in "bB":
        return _base64(raw)
    return quopri.decodestring(raw.replace(b"_", b" "), header=False)


def decoded(raw: bytes, charset: str) -> str:
    """Decode bytes of a charset that a mail names. Raises no error: unknown names are guessed."""
    if not raw:
        return ""
    codec = _codec_of(charset.strip().strip("\"'").lower())
    if codec is None:
        return guessed(raw)
    try:
        return raw.decode(codec)
    except (UnicodeError, ValueError, LookupError):
        pass
    try:
        return raw.decode(codec, "replace") if raw.isascii() else raw.decode("utf-8")
    except UnicodeError:
        return raw.decode(codec, "replace")


def guessed(raw: bytes) -> str:
    """Decode bytes of an unknown charset: as UTF-8 if they are valid, else as windows-1252."""
    try:
        return raw.decode("utf-8")
    except UnicodeError:
        return raw.decode("cp1252", "replace")


@cache
def _codec_of(name: str) -> str | None:
    """Return the codec of a charset's name; None if the name says nothing or is unknown."""
    aliases = _aliases()
    if name in aliases:
        return aliases[name]
    try:
        found = codecs.lookup(name[:60])
    except (LookupError, ValueError, UnicodeError):
        return None
    is_text = getattr(found, "_is_text_encoding", True) and found.name not in _NOT_TEXT_CODECS
    return found.name if is_text else None


@cache
def _aliases() -> Mapping[str, str | None]:
    document = tomllib.loads(
        (files("step_mailing_worker.inbound_mail") / "charset_aliases.toml").read_text(encoding="utf-8")
    )
    return dict.fromkeys(document["guessed"]) | {
        name: codec for codec, names in document["codecs"].items() for name in names
    }


_ADDRESS = re.compile(r"[^\s<>\"(),:;]+@[^\s<>\"(),:;]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_COMMENT = re.compile(r"\([^()]*\)")


def address_in(value: str) -> str:
    """Return the first address of a header value in lower case; empty if it has none.

    Names in quotes and comments may contain an address of somebody else.
    """
    bare = _COMMENT.sub(" ", _QUOTED.sub(" ", value[:4000]))
    angled = re.search(r"<\s*([^<>]*@[^<>]*?)\s*>", bare)
    found = _ADDRESS.search(angled[1] if angled else bare)
    return found[0].strip("'.").lower() if found else ""


def name_in(value: str) -> str:
    """Return the display name of a header value, such as `Bob Miller`."""
    return unescape(re.sub(r"<[^<>]*>|[\"()]", " ", value[:1000])).strip()
