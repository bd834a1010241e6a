"""Finds the file in a body of the type multipart/form-data, as `curl -F file=@contacts.csv` sends it."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from crud_api.errors import InvalidInputError

MULTIPART = b"multipart/form-data"


class FilePart:
    """Passes on the bytes of the only file of a form. Other fields are refused: the query has them.

    Raise InvalidInputError if the form is broken, or has no file, or more than one.
    """

    def __init__(self, boundary: bytes) -> None:
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_data,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )
        self._name, self._value = b"", b""
        self._disposition: dict[bytes, bytes] = {}
        self._found = bytearray()
        self._files = 0
        self._complete = False

    def __call__(self, chunk: bytes) -> bytes:
        """Return the bytes of the file in the next chunk of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise InvalidInputError("body: is not a valid form (multipart/form-data)") from None
        found = bytes(self._found)
        self._found.clear()
        return found

    def finish(self) -> None:
        """Raise InvalidInputError if the form is not complete, or has no file."""
        if not self._complete:
            raise InvalidInputError("body: is not a valid form (multipart/form-data)")
        if not self._files:
            raise InvalidInputError(
                "body: the form has no file. Send one, as with curl -F file=@contacts.csv."
            )

    def _begin_part(self) -> None:
        self._name, self._value, self._disposition = b"", b"", {}

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = parse_options_header(self._value)[1]
        self._name, self._value = b"", b""

    def _begin_data(self) -> None:
        if b"filename" not in self._disposition and self._disposition.get(b"name") != b"file":
            raise InvalidInputError(
                "body: the form has a field that is no file. Send the options in the query, such as "
                "?existing=keep."
            )
        self._files += 1
        if self._files > 1:
            raise InvalidInputError("body: the form has more than one file. Send each in its own request.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._found += data[start:end]

    def _end(self) -> None:
        self._complete = True


def file_part(content_type: str | None) -> FilePart | None:
    """Return the reader of a form, or None if the body is the file itself."""
    kind, options = parse_options_header(content_type)
    if kind != MULTIPART:
        return None
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidInputError("body: is a form without a boundary in its Content-Type")
    return FilePart(boundary)
