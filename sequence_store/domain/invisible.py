"""Removes characters that print nothing, so that two texts that look the same are the same."""

from __future__ import annotations

import re

# Format characters, variation selectors, fillers and blanks that print nothing.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def without_invisible(text: str) -> str:
    """Return a text without the characters that print nothing."""
    return text if text.isascii() else _INVISIBLE.sub("", text)
