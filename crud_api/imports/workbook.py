"""Reads a sheet of a workbook (XLSX, also XLSM, XLSB, XLS and ODS) in a process of its own.

The reader, calamine, holds a whole sheet in memory, and a small file can unfold to a large sheet. The limit
of memory and time is therefore that of a child process, which passes the rows on one by one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from crud_api.errors import InvalidInputError
from crud_api.imports.csv_file import LONGEST_LINE, TOO_LONG, Row
from crud_api.imports.workbook_process import FAULTS

# The process needs none of our settings, and a file must not reach our secrets.
PASSED_ON = frozenset({"PATH", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME", "LANG", "LD_LIBRARY_PATH"})

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TOO_LARGE = "body: the workbook is too large or takes too long to read. Save the sheet as CSV."


@dataclass(frozen=True)
class Sheet:
    """A sheet: its name, the names of all sheets, and its rows, which can be read once."""

    name: str
    names: Sequence[str]
    rows: Iterator[Row]


def is_workbook(start: bytes) -> bool:
    """Return whether a file that starts like this is a workbook, or another ZIP or OLE file."""
    return start.startswith((_ZIP, _OLE))


def open_sheet(file: BinaryIO, sheet: str | None) -> Sheet:
    """Open a sheet by its name or number, from 1; by default the first one that is visible and not empty.

    `file` must be a file of the operating system. Raise InvalidInputError if it is no workbook.
    """
    file.seek(0)
    process = subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", "crud_api.imports.workbook_process", sheet or ""],
        env={name: value for name, value in os.environ.items() if name in PASSED_ON},
        stdin=file.fileno(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    lines = _lines(process)
    head = json.loads(next(lines))
    if "fault" in head:
        lines.close()
        raise InvalidInputError(_fault(head, sheet))
    return Sheet(head["sheet"], head["sheets"], _rows(lines))


def _fault(head: dict[str, object], sheet: str | None) -> str:
    names = head.get("sheets")
    listed = f" Its sheets are: {', '.join(map(str, names))}." if isinstance(names, list) and sheet else ""
    return FAULTS[str(head["fault"])] + listed


def _lines(process: subprocess.Popen[bytes]) -> Generator[bytes, None, None]:
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    try:
        with process.stdout as output:
            yield from output
        if process.wait() != 0:
            raise InvalidInputError(_TOO_LARGE)
    finally:
        process.kill()
        process.wait()


def _rows(lines: Iterator[bytes]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        cells = json.loads(line)
        if len(line) > LONGEST_LINE:
            yield Row(number, [], TOO_LONG)
        elif cells:
            yield Row(number, cells)
