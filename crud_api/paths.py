"""Where an id stands in a path beside words that are none, such as `/contacts/export`.

Any other segment is taken for an id; whether it is one, its validation says, with 400. A word is never taken for
one, so that a method that its route does not know is answered 405, and with the methods that it knows.
"""

from __future__ import annotations

from starlette.convertors import StringConvertor, register_url_convertor

WORDS = ("export", "imports")


class _IdConvertor(StringConvertor):
    regex = rf"(?!(?:{'|'.join(WORDS)})$)[^/]+"


register_url_convertor("id", _IdConvertor())


def id_segment(name: str) -> str:
    """Return the last segment of a path, an id that the route takes as `name`."""
    return f"/{{{name}:id}}"
