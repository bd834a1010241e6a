"""What a cell says, and how it is kept from being a formula.

A spreadsheet takes a cell that starts with = + - @ (also their wide forms, also behind a tab) for a formula. The
export puts an apostrophe before it, which spreadsheets take for "this is text"; the import takes it off again.
"""

from __future__ import annotations

import re

_QUOTED = re.compile(r"'+[=+@\t\r＝＋－＠-]")


def original(cell: str) -> str:
    """Return what a cell said before it was kept from being a formula."""
    return cell[1:] if cell[:1] == "'" and _QUOTED.match(cell) else cell
