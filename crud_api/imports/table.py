"""Opens a file as a table: a CSV file of any dialect and encoding, or a sheet of a workbook.

The line with the column names is the first one that has a column of mail addresses, among the first lines of
the file. Lines before it, such as a title, are skipped.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO, Protocol

from crud_api.errors import InvalidInputError
from crud_api.imports.columns import FURTHER_MAIL_ADDRESS, MAIL_ADDRESS, letters
from crud_api.imports.csv_file import DELIMITERS, Delimiter, Row, open_text, read_rows
from crud_api.imports.encodings import UNDECODABLE, Encoding, TextFormat, examine
from crud_api.imports.layout import Kind, field_of
from crud_api.imports.mail_cells import is_address, read_mail_cell
from crud_api.imports.workbook import Sheet, is_workbook, open_sheet

SAMPLE = 200_000  # characters in which the column names must be
SAMPLE_ROWS = 60
MOST_LINES_BEFORE = 30  # before the column names
BLANK = " \t\r\n\0\x1a\ufeff\xa0"

_SEP = re.compile(r"\s*\"?sep=(.)\"?[;,\t|]*\s*", re.IGNORECASE | re.DOTALL)
_FOREIGN = (
    (b"\x1f\x8b", "is compressed (gzip). Decompress it first."),
    (b"Rar!", "is a RAR archive. Unpack it first."),
    (b"7z\xbc\xaf", "is a 7-Zip archive. Unpack it first."),
    (b"%PDF", "is a PDF document. Export the contacts as CSV or XLSX."),
    (b"BEGIN:VCARD", "is a vCard file. Export the contacts as CSV or XLSX."),
    (b"<!DOCTYPE", "is an HTML or XML document. Export the contacts as CSV or XLSX."),
    (b"<html", "is an HTML document, also if its name ends in .xls. Save it as CSV or XLSX."),
    (b"<table", "is an HTML document, also if its name ends in .xls. Save it as CSV or XLSX."),
    (b"<?xml", "is an XML document. Export the contacts as CSV or XLSX."),
)


class FileOptions(Protocol):
    """What a request says about its file."""

    column: list[str]
    delimiter: Delimiter | None
    encoding: Encoding | None
    sheet: str | None


@dataclass(frozen=True)
class Table:
    """A file with named columns. `rows` yields those after the names, and can be read once."""

    header: Sequence[str]
    header_line: int
    rows: Iterator[Row]
    encoding: Encoding | None = None
    encoding_confidence: float | None = None
    delimiter: str | None = None
    sheet: str | None = None
    sheets: Sequence[str] = ()
    sample: Sequence[Sequence[str]] = ()  # the cells of the first rows


def open_table(file: BinaryIO, options: FileOptions, kind: Kind) -> Table:
    """Open the file; raise InvalidInputError if it is no table, or if it has no column names."""
    file.seek(0)
    start = file.read(1024)
    lower = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower()
    for magic, fault in _FOREIGN:
        if lower.startswith(magic.lower()):
            raise InvalidInputError(f"body: {fault}")
    if is_workbook(start):
        return _table_of_sheet(open_sheet(file, options.sheet), options, kind)
    if options.sheet is not None:
        raise InvalidInputError("sheet: the file is no workbook; omit the parameter")
    return _table_of_text(file, options, kind)


def is_blank(cells: Sequence[str]) -> bool:
    """Return whether no cell has a visible character."""
    return not any(cell.strip(BLANK) for cell in cells)


def _table_of_sheet(sheet: Sheet, options: FileOptions, kind: Kind) -> Table:
    first = list(islice(sheet.rows, SAMPLE_ROWS))
    candidates = [_Candidate(None, [(row.line, row.line, row.cells) for row in first])]
    found = _best(candidates, options, kind)
    rows = (row for row in chain(first, sheet.rows) if row.line > found.end)
    fitted = (Row(row.line, _fitted(row.cells, len(found.header)), row.fault) for row in rows)
    return Table(found.header, found.line, fitted, sheet=sheet.name, sheets=sheet.names, sample=found.sample)


def _fitted(cells: list[str], width: int) -> list[str]:
    """Return a row of a sheet in the width of the names; it ends at its last filled cell."""
    return cells[:width] + [""] * (width - len(cells))


def _table_of_text(file: BinaryIO, options: FileOptions, kind: Kind) -> Table:
    text_format = examine(file, options.encoding)
    start = open_text(file, text_format).read(SAMPLE)
    skip, stated = _stated_delimiter(start)
    chosen = DELIMITERS[options.delimiter] if options.delimiter else stated
    delimiters = [chosen] if chosen else list(DELIMITERS.values())
    physical = _physical_lines(start, cut=len(start) == SAMPLE)
    candidates = [_Candidate(one, _sample_rows(physical, one, skip)) for one in delimiters]
    if text_format.has_quotes:
        candidates += [one.unwrapped() for one in candidates]
    found = _best(candidates, options, kind, text_format)
    delimiter = found.delimiter or ","
    body = open_text(file, text_format)
    rows = read_rows(
        body,
        delimiter,
        skip=found.end,
        width=1 if found.is_wrapped else len(found.header),
        one_line_rows=not (text_format.has_quotes or text_format.has_long_lines),
    )
    if found.is_wrapped:
        rows = (Row(row.line, _unwrap(row.cells, delimiter), row.fault) for row in rows)
    names: dict[str, str] = {character: name for name, character in DELIMITERS.items()}
    return Table(
        found.header,
        found.line,
        rows,
        text_format.encoding,
        text_format.confidence,
        names.get(delimiter, delimiter),
        sample=found.sample,
    )


def _physical_lines(text: str, *, cut: bool) -> list[str]:
    """Return the lines as the csv module counts them; splitlines() would split at more characters."""
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", text)
    return lines[:-1] if cut and len(lines) > 1 else lines


def _stated_delimiter(text: str) -> tuple[int, str | None]:
    """Return the number of lines that `sep=;` takes at the start of the file, and what it says."""
    first = re.match(r"[^\r\n]*", text)
    found = _SEP.fullmatch(first[0]) if first else None
    return (1, found[1]) if found else (0, None)


def _sample_rows(lines: Sequence[str], delimiter: str, skip: int) -> list[tuple[int, int, list[str]]]:
    """Return the first line, the last line and the cells of the rows of a sample."""
    reader = csv.reader(lines[skip:], delimiter=delimiter)
    rows: list[tuple[int, int, list[str]]] = []
    before = 0
    try:
        for cells in reader:
            if not is_blank(cells):
                rows.append((skip + before + 1, skip + reader.line_num, cells))
            before = reader.line_num
            if len(rows) >= SAMPLE_ROWS:
                break
    except csv.Error:
        pass  # the reading of the rows reports it with its line
    return rows


class _Candidate:
    """The rows of a sample, as one delimiter divides them."""

    def __init__(
        self, delimiter: str | None, rows: list[tuple[int, int, list[str]]], *, is_wrapped: bool = False
    ) -> None:
        self.delimiter = delimiter
        self.is_wrapped = is_wrapped
        self.rows = [row for row in rows if not is_blank(row[2])]
        widths = Counter(len(row[2]) for row in self.rows)
        self.width = max(widths, key=lambda width: (widths[width], width)) if widths else 0
        self.consistent = widths[self.width] if self.width > 1 else 0

    def unwrapped(self) -> _Candidate:
        """Return the rows of a file in which a program has quoted each line as a whole."""
        delimiter = self.delimiter or ","
        rows = [(line, end, _unwrap(cells, delimiter)) for line, end, cells in self.rows]
        return _Candidate(self.delimiter, rows, is_wrapped=True)


def _unwrap(cells: list[str], delimiter: str) -> list[str]:
    """Divide a row that is one quoted cell; return any other one unchanged."""
    if len(cells) != 1:
        return cells
    try:
        return next(csv.reader(cells, delimiter=delimiter), [])
    except csv.Error:
        return cells


@dataclass(frozen=True)
class _Found:
    delimiter: str | None
    header: list[str]
    line: int
    end: int
    sample: list[list[str]]
    is_wrapped: bool
    score: tuple[int, int, int]


def _best(
    candidates: Sequence[_Candidate],
    options: FileOptions,
    kind: Kind,
    text_format: TextFormat | None = None,
) -> _Found:
    if not any(one.rows for one in candidates):
        raise InvalidInputError("body: is empty. Its first line must contain the column names.")
    chosen = {letters(one.partition(":")[2]): one.partition(":")[0] for one in options.column}
    found = [_find_header(one, chosen, kind) for one in candidates if one.rows]
    best = max(found, key=lambda one: one.score)
    if not best.score[0]:
        _raise_no_names(best, text_format)
    return best


def _find_header(candidate: _Candidate, chosen: dict[str, str], kind: Kind) -> _Found:
    """Return the first row that names a column of mail addresses, else the first row of the usual width."""
    best: tuple[int, int] | None = None
    for number, (_, _, cells) in enumerate(candidate.rows[: MOST_LINES_BEFORE + 1]):
        if any(map(_has_address, cells)):
            continue
        recognised, has_mail = _recognise(cells, chosen, kind)
        if has_mail and (best is None or (len(candidate.rows[best[0]][2]) == 1 and recognised > best[1])):
            best = (number, recognised)
    if best is None:
        usual = (n for n, row in enumerate(candidate.rows) if len(row[2]) == candidate.width)
        number = next(usual, 0)
        score = (0, 0, candidate.consistent)
    else:
        number = best[0]
        width = len(candidate.rows[number][2])
        score = (1, best[1], sum(len(row[2]) == width for row in candidate.rows if width > 1))
    line, end, header = candidate.rows[number]
    sample = [row[2] for row in candidate.rows[number + 1 :]]
    return _Found(candidate.delimiter, header, line, end, sample, candidate.is_wrapped, score)


def _has_address(cell: str) -> bool:
    """Return whether a cell holds a mail address, so that its row is none of names."""
    return "@" in cell and is_address(read_mail_cell(cell).address)


def _recognise(cells: Sequence[str], chosen: dict[str, str], kind: Kind) -> tuple[int, bool]:
    """Return the number of known columns, and whether one of them has mail addresses."""
    fields = [chosen.get(letters(cell)) or field_of(cell.strip(), kind) for cell in cells if cell]
    mail = any(one in (MAIL_ADDRESS, FURTHER_MAIL_ADDRESS) for one in fields)
    return sum(one is not None for one in fields), mail


def _raise_no_names(found: _Found, text_format: TextFormat | None) -> None:
    """Raise InvalidInputError if the file cannot have column names; else the layout says what lacks."""
    cells = " ".join(found.header)
    if UNDECODABLE.search(cells) and text_format:
        raise InvalidInputError(
            f"body: near line {found.line}: is not valid {text_format.encoding}. "
            "Set `encoding` to that of the file."
        )
    if any(map(_has_address, found.header)):
        raise InvalidInputError(
            f"body: line {found.line} has a mail address where the column names must be. Add a first line "
            "that names the columns, such as name,mailAddress."
        )
