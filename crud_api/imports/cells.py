"""Removes the escaping of formulas from CSV cells.

A spreadsheet runs a cell that starts with = + - @ (or their full-width forms, or a tab or line end) as a
formula. The export puts an apostrophe before such a cell, which marks it as text. The import removes the
apostrophe.
"""

from __future__ import annotations

import re

_ESCAPED_FORMULA = re.compile(r"'+[=+@\t\r＝＋－＠-]")


def unescape(cell: str) -> str:
    """Return the value of a cell without the apostrophe that escapes a formula."""
    return cell[1:] if cell[:1] == "'" and _ESCAPED_FORMULA.match(cell) else cell
