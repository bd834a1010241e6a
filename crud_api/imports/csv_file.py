"""Reads the rows of a CSV file in bounded memory. A row that is not valid CSV fails alone.

A file without quotes has one row in each line, and the csv module reads it without any code of ours. In
other files a quote that does not close could take all lines after it into its row. The lines of a row are
therefore kept until it ends: if it turns out to be broken, only its first line is lost, and the lines after
it are read again.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal, NamedTuple

from crud_api.imports.encodings import MARK_ERRORS, TextFormat

Delimiter = Literal["comma", "semicolon", "tab", "pipe"]

READ_AT_ONCE = 256 * 1024
LONGEST_LINE = 1024 * 1024
MOST_LINES_OF_A_ROW = 1_000
DELIMITERS: dict[Delimiter, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

TOO_LONG = f"is longer than {LONGEST_LINE:,} characters"
NOT_CSV = "is not valid CSV"
NO_END = "the row does not end; a closing quote may be missing"
_TOO_LONG_LINE = "\udc00"  # stands for a line that was dropped

csv.field_size_limit(2 * LONGEST_LINE)  # of all csv readers of the process; a row has fewer characters


class Row(NamedTuple):
    """The cells of a row, and the number of the line on which it starts, from 1.

    A row that cannot be read has no cells, and `fault` says why.
    """

    line: int
    cells: list[str]
    fault: str | None = None


class _Reader(io.RawIOBase):
    """Reads a file without owning it: whoever wraps the reader may drop it, and the file stays open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def open_text(file: BinaryIO, text_format: TextFormat) -> io.TextIOWrapper:
    """Return the text of a file from its start. Only the latest text of a file may be read."""
    file.seek(0)
    reader = io.BufferedReader(_Reader(file), READ_AT_ONCE)
    return io.TextIOWrapper(reader, encoding=text_format.codec, errors=MARK_ERRORS, newline="")


def read_rows(
    text: io.TextIOWrapper, delimiter: str, *, skip: int, width: int, one_line_rows: bool
) -> Iterator[Row]:
    """Yield the rows after the first `skip` lines; blank lines are omitted.

    `width` is the number of cells of a row. With `one_line_rows` no row spans lines, and no line is longer
    than `LONGEST_LINE`.
    """
    for _ in range(skip):
        if not text.readline(LONGEST_LINE):
            return
    if one_line_rows:
        yield from _rows_of_lines(text, delimiter, skip)
    else:
        yield from _Rows(text, delimiter, skip, width).read()


def _rows_of_lines(text: io.TextIOWrapper, delimiter: str, skip: int) -> Iterator[Row]:
    line = skip
    for cells in csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE):
        line += 1
        if cells:
            yield Row(line, cells)


class _Rows:
    """Reads rows that may span lines."""

    def __init__(self, text: io.TextIOWrapper, delimiter: str, skip: int, width: int) -> None:
        self._readline = text.readline
        self._delimiter = delimiter
        self._width = width
        self._line = skip  # the lines before the current row
        self._taken: list[str] = []  # the lines of the current row
        self._again: deque[str] = deque()

    def read(self) -> Iterator[Row]:
        reader = self._new_reader()
        taken = self._taken
        while True:
            taken.clear()
            start = self._line + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                fault = str(error) if str(error) == TOO_LONG else f"{NOT_CSV}: {error}"
                yield self._lost(start, fault)
                reader = self._new_reader()
                continue
            if cells is None:
                return
            if len(taken) > 1 and len(cells) != self._width:
                yield self._lost(start, f"{NOT_CSV}: {NO_END}")
                reader = self._new_reader()
                continue
            self._line += len(taken)
            if cells:
                yield Row(start, cells)

    def _new_reader(self) -> Iterator[list[str]]:
        return csv.reader(self._lines(), delimiter=self._delimiter, strict=True)

    def _lost(self, start: int, fault: str) -> Row:
        """Give up the first line of the row, and read its other lines again."""
        self._again.extendleft(reversed(self._taken[1:]))
        self._line += 1
        return Row(start, [], fault)

    def _lines(self) -> Iterator[str]:
        taken, again, readline = self._taken, self._again, self._readline
        size = 0
        while True:
            line = again.popleft() if again else readline(LONGEST_LINE)
            if not line:
                return
            if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
                self._skip_line()
                line = _TOO_LONG_LINE
            taken.append(line)
            if len(taken) == 1:
                size = 0
            size += len(line)
            if line == _TOO_LONG_LINE:
                raise csv.Error(TOO_LONG if len(taken) == 1 else NO_END)
            if len(taken) > MOST_LINES_OF_A_ROW or size > LONGEST_LINE:
                raise csv.Error(NO_END)
            yield line

    def _skip_line(self) -> None:
        while rest := self._readline(LONGEST_LINE):
            if rest[-1] in "\r\n":
                return
