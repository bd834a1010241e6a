"""Finds the encoding of a file: its byte order mark, valid UTF-8, UTF-16 without a mark, or chardet's choice.

The file is read once as a whole, in blocks, so that one row in another encoding cannot surprise the import.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BeforeValidator

Encoding = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "windows-1250", "windows-1251", "windows-1252",
    "windows-1253", "windows-1254", "windows-1255", "windows-1256", "windows-1257", "windows-1258",
    "windows-874", "iso-8859-1", "iso-8859-2", "iso-8859-5", "iso-8859-7", "iso-8859-9", "iso-8859-13",
    "iso-8859-15", "koi8-r", "mac-roman", "cp437", "cp850", "cp852", "cp866", "shift_jis", "euc-jp",
    "iso-2022-jp", "gb18030", "big5", "euc-kr",
]  # fmt: skip

# Python's codecs for these names; the Windows supersets, because Windows programs write them.
_CODECS = {
    "utf-8": "utf-8-sig", "windows-874": "cp874", "shift_jis": "cp932", "euc-kr": "cp949",
    "big5": "big5hkscs",
}  # fmt: skip
# What chardet may choose. Its candidates without these are historic, or cannot be told from these.
_CANDIDATES: dict[str, Encoding] = {
    "cp1250": "windows-1250", "cp1251": "windows-1251", "cp1252": "windows-1252", "cp1253": "windows-1253",
    "cp1254": "windows-1254", "cp1255": "windows-1255", "cp1256": "windows-1256", "cp1257": "windows-1257",
    "cp1258": "windows-1258",
    "cp874": "windows-874", "koi8-r": "koi8-r", "mac-roman": "mac-roman", "cp850": "cp850",
    "cp932": "shift_jis", "euc_jis_2004": "euc-jp", "gb18030": "gb18030", "big5hkscs": "big5",
    "cp949": "euc-kr",
}  # fmt: skip
_ALIASES = {"latin1": "iso-8859-1", "latin-1": "iso-8859-1", "utf8": "utf-8", "ansi": "windows-1252"}
_MARKS: tuple[tuple[bytes, Encoding], ...] = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

BLOCK = 256 * 1024
_START = 64 * 1024
_SAMPLE = 64 * 1024
_FEW_NULS, _ONE_SIDED = 0.05, 10  # of the pairs of bytes; times as many on one side as on the other
_MOSTLY_UTF8 = 0.8
_AROUND_CELLS = re.compile(rb"[,;\t\r\n\"]+")
_MIXED_SCRIPTS = re.compile(r"[A-Za-z][\u0370-\u0eff]|[\u0370-\u0eff][A-Za-z]")

MARK_ERRORS = "mark undecodable"
UNDECODABLE = re.compile("[\udc80-\udcff]")


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Replace bytes that are not text by a character that no text has: only their row is refused."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(MARK_ERRORS, _mark)


@dataclass(frozen=True)
class TextFormat:
    """The encoding of a file, and how sure it is: 1 is certain, 0.5 a toss-up, None was requested.

    `has_quotes` is whether a row may span lines; `has_long_lines` whether one may exceed `BLOCK` bytes.
    """

    encoding: Encoding
    confidence: float | None
    codec: str
    has_quotes: bool
    has_long_lines: bool


def known_name(value: Any) -> Any:
    """Return the name of an encoding that has other names, such as cp1252 or Latin1; others unchanged."""
    if not isinstance(value, str):
        return value
    name = value.strip().lower()
    name = _ALIASES.get(name, name)
    try:
        wanted = codecs.lookup(name).name
    except (LookupError, ValueError):
        return name
    if wanted in ("shift_jis", "cp932", "shift_jis_2004"):
        return "shift_jis"
    known = Encoding.__args__  # type: ignore[attr-defined]
    return next(
        (one for one in known if codecs.lookup(_CODECS.get(one, one)).name == wanted),
        "utf-8" if wanted == "utf-8" else name,
    )


KnownEncoding = Annotated[Encoding, BeforeValidator(known_name)]


def codec_of(encoding: Encoding) -> str:
    """Return the codec of Python that reads the encoding."""
    return _CODECS.get(encoding, encoding)


def examine(file: BinaryIO, requested: Encoding | None = None) -> TextFormat:
    """Read the file and return its format. A mark of UTF-16 or UTF-32 overrides what was requested."""
    file.seek(0)
    start = file.read(_START)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    is_utf8, quotes, long_lines = _scan(file)
    encoding, confidence = _choose(file, start, marked, requested, is_utf8=is_utf8)
    wide = _wide(start) if encoding == "utf-16" and not marked else None
    codec = codec_of(wide or ("utf-16-le" if encoding == "utf-16" and not marked else encoding))
    return TextFormat(encoding, confidence, codec, quotes, long_lines)


def _choose(
    file: BinaryIO, start: bytes, marked: Encoding | None, requested: Encoding | None, *, is_utf8: bool
) -> tuple[Encoding, float | None]:
    if marked is not None and marked != "utf-8":
        return marked, 1.0
    if requested is not None:
        return requested, None
    if wide := _wide(start):
        return wide, 0.99
    if marked or is_utf8:
        return ("iso-2022-jp" if b"\x1b$B" in start else "utf-8"), 1.0
    return detect(sample(file))


def _scan(file: BinaryIO) -> tuple[bool, bool, bool]:
    """Return whether the file is valid UTF-8, whether it has quotes, and whether it may have long lines."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    valid, quotes, long_lines, pending = True, False, False, False
    for block in _blocks(file):
        quotes = quotes or b'"' in block
        long_lines = long_lines or (len(block) == BLOCK and b"\n" not in block and b"\r" not in block)
        if valid and (pending or not block.isascii()):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                valid = False
            pending = bool(decoder.getstate()[0])
    return valid and not pending, quotes, long_lines


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(BLOCK):
        yield block


def _wide(start: bytes) -> Encoding | None:
    """Return the byte order of UTF-16 without a mark: in every language, some characters have a byte 0."""
    even, odd = start[::2].count(0), start[1::2].count(0)
    pairs = max(1, len(start) // 2)
    if odd > _FEW_NULS * pairs and odd > _ONE_SIDED * even:
        return "utf-16-le"
    if even > _FEW_NULS * pairs and even > _ONE_SIDED * odd:
        return "utf-16-be"
    return None


def sample(file: BinaryIO) -> Counter[bytes]:
    """Return cells of the file that are not ASCII, about 64 KiB of them, and how often each was found."""
    found = Counter[bytes]()
    size = 0
    for block in _blocks(file):
        if block.isascii():
            continue
        for cell in _AROUND_CELLS.split(block):
            if not cell.isascii():
                size += 0 if cell in found else len(cell)
                found[cell] += 1
        if size >= _SAMPLE:
            break
    return found


def detect(cells: Counter[bytes]) -> tuple[Encoding, float]:
    """Return the encoding of cells that are not all UTF-8, and how much likelier it is than the next one."""
    import chardet  # takes a moment, and most files are UTF-8

    utf8 = sum(times for cell, times in cells.items() if _decodes(cell, "utf-8")) / cells.total()
    if utf8 >= _MOSTLY_UTF8:
        return "utf-8", round(min(utf8, 0.99), 2)
    text = b"\n".join(cells)
    candidates = [codec for codec in _CANDIDATES if _is_plausible(text, codec)] or ["cp1252"]
    ranked = chardet.detect_all(
        text,
        ignore_threshold=True,
        include_encodings=candidates,
        no_match_encoding=candidates[0],
        compat_names=False,
        prefer_superset=True,
    )
    found = [one for one in ranked if one["encoding"] in _CANDIDATES]
    if not found:
        return _CANDIDATES[candidates[0]], 0.5
    best, other = found[0]["confidence"], found[1]["confidence"] if len(found) > 1 else 0.0
    confidence = best / (best + other) if best else 0.5
    return _CANDIDATES[str(found[0]["encoding"])], round(min(confidence, 0.99), 2)


def _is_plausible(text: bytes, codec: str) -> bool:
    """Return whether the text can be in this encoding: no word mixes Latin letters with another alphabet."""
    if codec == "cp949" and not _decodes(text, "euc_kr"):
        return False  # the syllables that only cp949 has are rare; Japanese text would look like them
    try:
        return not _MIXED_SCRIPTS.search(text.decode(codec))
    except UnicodeDecodeError:
        return False


def _decodes(text: bytes, codec: str) -> bool:
    try:
        text.decode(codec)
    except UnicodeDecodeError:
        return False
    return True
