"""Defines the path segment for an id next to fixed words, such as `/contacts/export`.

The segment matches everything but the fixed words, and validation rejects what is not an id with 400. It
never matches a fixed word, so that a wrong method on `/contacts/export` gives 405 with the methods of that
route.
"""

from __future__ import annotations

from starlette.convertors import StringConvertor, register_url_convertor

WORDS = ("bulk", "export", "imports")


class _IdConvertor(StringConvertor):
    regex = rf"(?!(?:{'|'.join(WORDS)})$)[^/]+"


register_url_convertor("id", _IdConvertor())


def id_segment(name: str) -> str:
    """Return the last segment of a path: an id that is passed to the route as `name`."""
    return f"/{{{name}:id}}"
