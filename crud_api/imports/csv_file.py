"""Reads CSV files of various dialects and encodings row by row, in bounded memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from crud_api.errors import InvalidInputError
from crud_api.imports.columns import chosen_opt_out, find_opt_outs, letters
from crud_api.imports.opt_outs import OptOutColumn, OptOutKind

Encoding = Literal["utf-8", "utf-16", "windows-1252", "iso-8859-1", "iso-8859-15"]
Delimiter = Literal["comma", "semicolon", "tab", "pipe"]

LONGEST_LINE = 1024 * 1024
MOST_LINES_OF_A_ROW = 1_000
MOST_COLUMNS = 500
LONGEST_COLUMN_NAME = 255
SUPPRESSED = "suppressed"
OPT_OUT = "optOut"  # the field of a column that the request names as one

DELIMITERS: dict[Delimiter, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Row:
    """The cells of a row, and the number of the line on which it starts, from 1."""

    line: int
    cells: list[str]


class CsvFile:
    """A CSV file with a header.

    Raise InvalidInputError, with the line number, if the file is not valid.
    """

    def __init__(self, file: io.BufferedReader, *, encoding: Encoding, delimiter: Delimiter | None) -> None:
        start = file.peek(4)[:4]
        marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark)), None)
        self._encoding = marked or (encoding if encoding != "utf-16" else "utf-16-le")
        self._text = io.TextIOWrapper(file, encoding=self._encoding, errors="strict", newline="")
        self._unread = 0
        first = self._first_line()
        character = DELIMITERS[delimiter] if delimiter else _delimiter_of(first)
        self._reader = csv.reader(self._lines(first), delimiter=character, strict=True)
        self.header = next(self.rows(), Row(1, [])).cells
        if not self.header:
            raise InvalidInputError("body: is empty. Its first line must contain the column names.")
        if len(self.header) > MOST_COLUMNS:
            raise InvalidInputError(f"body: has more than {MOST_COLUMNS} columns")

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are not blank. The header is read first, by the constructor."""
        while True:
            line, self._unread = self._reader.line_num + 1, 0
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                raise InvalidInputError(f"body: line {line}: is not valid CSV: {error}") from None
            except UnicodeError:
                raise self._encoding_error(line) from None
            if cells is None:
                return
            if cells:
                yield Row(line, cells)

    def _first_line(self) -> str:
        try:
            return self._text.readline(LONGEST_LINE)
        except UnicodeError:
            raise self._encoding_error(1) from None

    def _encoding_error(self, line: int) -> InvalidInputError:
        return InvalidInputError(
            f"body: near line {line}: is not valid {self._encoding}. Set `encoding` to that of the file."
        )

    def _lines(self, first: str) -> Iterator[str]:
        line = first
        while line:
            self._unread += 1
            if len(line) == LONGEST_LINE or self._unread > MOST_LINES_OF_A_ROW:
                raise csv.Error("the row does not end; a closing quote may be missing")
            yield line
            line = self._text.readline(LONGEST_LINE)


def _delimiter_of(line: str) -> str:
    return max(DELIMITERS.values(), key=line.count)


@dataclass(frozen=True)
class Layout:
    """Maps the cells of a row to fields and attributes, by position."""

    width: int
    fields: Mapping[str, int]
    attributes: Sequence[tuple[str, int]]
    ignored: Sequence[str]
    opt_outs: Sequence[OptOutColumn] = ()
    own_opt_out: str | None = None  # the name of the column `suppressed` of our own export

    @property
    def opt_out_columns(self) -> list[str]:
        """The names of the columns that say whether a contact wants mail."""
        own = [self.own_opt_out] if self.own_opt_out is not None else []
        return own + [column.name for column in self.opt_outs]


def lay_out(
    header: Sequence[str],
    known: Mapping[str, Iterable[str]],
    *,
    required: Iterable[str],
    columns: Sequence[str] = (),
    others_are_attributes: bool = False,
    read_opt_outs: bool = False,
) -> Layout:
    """Find the column of each field.

    An entry `field:column` in `columns` applies first, then the column names of the field in `known`. Names
    are compared without case, spaces and punctuation. With `read_opt_outs`, a column that is none of a field
    may say that a contact does not want mail; one of a general name, such as Status, stays what it is, too.
    Raise InvalidInputError if a required field has no column.
    """
    names = [name.strip() for name in header]
    _check_names(names)
    chosen = _chosen(columns, names, known)
    by_letters = {letters(word): field for field, words in known.items() for word in words}
    found: list[str | None] = []
    for name in names:
        field = chosen.get(name) or (name if _is_attribute(name) else by_letters.get(letters(name)))
        if field is not None and field in chosen.values() and name not in chosen:
            field = None  # `columns` selects another column for this field
        found.append(field)
    opt_outs = _opt_outs(names, found, chosen) if read_opt_outs else []
    taken = {one.position for one in opt_outs if one.kind is not OptOutKind.WORDS and one.name not in chosen}
    fields: dict[str, int] = {}
    attributes: list[tuple[str, int]] = []
    ignored: list[str] = []
    for position, (name, of_name) in enumerate(zip(names, found, strict=True)):
        if of_name == OPT_OUT or position in taken:
            continue
        other = f"attributes.{name}" if others_are_attributes and name else None
        field = of_name or other
        if field is None or (_is_attribute(field) and "attributes" not in known):
            ignored.append(name)
        elif _is_attribute(field):
            attributes.append((field.partition(".")[2], position))
        elif field in fields:
            raise InvalidInputError(
                f"body: two columns match {field}. Select one with column={field}:<column name>."
            )
        else:
            fields[field] = position
    _check_required(required, fields)
    own = names[fields[SUPPRESSED]] if SUPPRESSED in fields else None
    return Layout(len(names), fields, attributes, ignored, opt_outs, own)


def _check_required(required: Iterable[str], fields: Mapping[str, int]) -> None:
    for field in required:
        if field not in fields:
            raise InvalidInputError(
                f"body: no column matches {field}. Select one with column={field}:<column name>."
            )


def _opt_outs(
    names: Sequence[str], found: Sequence[str | None], chosen: Mapping[str, str]
) -> list[OptOutColumn]:
    """Return the columns that say whether a contact wants mail; attributes may say so, too."""
    known = {one.position: one for one in find_opt_outs(names)}
    columns = []
    for position, (name, field) in enumerate(zip(names, found, strict=True)):
        if chosen.get(name) == OPT_OUT:
            columns.append(chosen_opt_out(position, name))
        elif position in known and (field is None or (name in chosen and _is_attribute(field))):
            columns.append(known[position])
    return columns


def _chosen(
    columns: Sequence[str], names: Sequence[str], known: Mapping[str, Iterable[str]]
) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for one in columns:
        field, colon, name = one.partition(":")
        if not colon or not (field in known or (_is_attribute(field) and "attributes" in known)):
            raise InvalidInputError(
                f"column: must be a field and a column name, such as {next(iter(known))}:Title"
            )
        if name not in names:
            raise InvalidInputError(
                f"column: the file does not have the column given for {field[:LONGEST_COLUMN_NAME]}"
            )
        if name in chosen or field in chosen.values():
            raise InvalidInputError("column: contains a field or a column twice")
        chosen[name] = field
    return chosen


def _check_names(names: Sequence[str]) -> None:
    if any(len(name) > LONGEST_COLUMN_NAME or not name.isprintable() for name in names):
        raise InvalidInputError("body: line 1: a column name is too long or contains control characters")
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise InvalidInputError("body: line 1: two columns have the same name")


def _is_attribute(field: str) -> bool:
    return field.startswith("attributes.") and len(field) > len("attributes.")
