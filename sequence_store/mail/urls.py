"""Finds the URLs in a text."""

from __future__ import annotations

from functools import cache

from linkify_it import LinkifyIt

_SCHEMES = ("http://", "https://")


def urls_in(text: str) -> list[tuple[int, int]]:
    """Return the places (start, stop) of the text's http and https URLs, in order."""
    if "://" not in text:
        return []
    return [
        (found.index, found.last_index)
        for found in _finder().match(text) or ()
        if text[found.index : found.last_index].lower().startswith(_SCHEMES)
    ]


@cache
def _finder() -> LinkifyIt:
    """Make the finder once: it compiles large expressions. Words like `example.com` are no links."""
    return LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
