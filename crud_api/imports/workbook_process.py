"""Writes the rows of a sheet as lines of JSON: `python -m crud_api.imports.workbook_process SHEET < FILE`.

The first line is an object: the sheet and the names of all sheets, or a fault.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from datetime import date, datetime, time
from typing import Any

MOST_BYTES = 2 * 1024**3  # of address space
MOST_SECONDS = 300  # of the processor
LARGEST_EXACT = 1e15  # a larger number is not exact, and is shown as it is

FAULTS = {
    "no_workbook": "body: is a ZIP archive or another file, not a workbook. Send a CSV or XLSX file.",
    "password": "body: the workbook is protected with a password. Save it without one, or as CSV.",
    "no_sheet": "sheet: the workbook has no sheet with this name or number.",
    "empty": "body: is empty. Its first line must contain the column names.",
}


def text_of(value: Any) -> str:
    """Return a cell's value as a CSV file would have it: whole numbers without a point, times in ISO 8601."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_EXACT:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return str(value.isoformat() if isinstance(value, date | time) else value)


def main(wanted: str) -> None:
    import python_calamine as calamine

    file = os.fdopen(0, "rb")
    file.seek(0)
    try:
        workbook = calamine.load_workbook(file)
    except calamine.PasswordError:
        return _say(fault="password")
    except (calamine.CalamineError, OSError):
        return _say(fault="no_workbook")
    names = workbook.sheet_names
    visible = [
        one.name
        for one in workbook.sheets_metadata
        if one.visible == calamine.SheetVisibleEnum.Visible and one.typ == calamine.SheetTypeEnum.WorkSheet
    ]
    if wanted:
        number = int(wanted) - 1 if wanted.isdecimal() and len(wanted) < 5 else -1  # noqa: PLR2004
        named = [name for name in names if name.strip().casefold() == wanted.strip().casefold()]
        chosen = named or names[number : number + 1]
        if not chosen or (not named and number < 0):
            return _say(fault="no_sheet", sheets=names)
        sheets = [workbook.get_sheet_by_name(chosen[0])]
    else:
        sheets = [workbook.get_sheet_by_name(name) for name in visible or names]
    sheet = next((one for one in sheets if one.height), None)
    if sheet is None:
        return _say(fault="empty", sheets=names)
    _say(sheet=sheet.name, sheets=names)
    before = [""] * (sheet.start or (0, 0))[1]
    for row in sheet.iter_rows():  # from the first row of the sheet, but from its first filled column
        cells = [*before, *map(text_of, row)]
        while cells and not cells[-1]:
            cells.pop()
        sys.stdout.write(json.dumps(cells) + "\n")
    return None


def _say(**head: Any) -> None:
    sys.stdout.write(json.dumps(head) + "\n")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    main(sys.argv[1])
