"""Converts rows of a file to lines for COPY, with the same validation and messages as the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from crud_api.contacts.attributes import Attributes
from crud_api.exception_handlers import describe
from crud_api.fields import Address, Line
from crud_api.imports.cells import unescape
from crud_api.imports.csv_file import Layout, Row
from sequence_store.domain.states import ImportOutcome, SuppressionReason

# Local parts of RFC 2142, and others that a program or a changing group of people reads.
ROLES = frozenset(
    [
        "abuse",
        "admin",
        "administrator",
        "billing",
        "bounce",
        "contact",
        "donotreply",
        "ftp",
        "hostmaster",
        "info",
        "jobs",
        "mail",
        "mailer-daemon",
        "marketing",
        "news",
        "noc",
        "no-reply",
        "noreply",
        "office",
        "postmaster",
        "root",
        "sales",
        "security",
        "spam",
        "support",
        "unsubscribe",
        "usenet",
        "uucp",
        "webmaster",
        "www",
    ]
)
ROLE_ADDRESS = "mailAddress: is a role address, such as postmaster@, and may not belong to one person"
BOOLEANS = {"true": "t", "false": "f", "yes": "t", "no": "f", "1": "t", "0": "f", "": "\\N"}

# Fast checks for the common case. The field types accept all values that pass them, and validate the others.
_PLAIN_ADDRESS = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}",
    re.IGNORECASE | re.ASCII,
)
_PLAIN_LENGTH = 255
_PLAIN_ADDRESS_LENGTH = 64  # also ensures that the part before the @ is not longer than 64

_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)
_LINE: TypeAdapter[str] = TypeAdapter(Line)
_ATTRIBUTES: TypeAdapter[dict[str, Any]] = TypeAdapter(Attributes)


class _RefusedError(Exception):
    """Marks a row as refused; it is always caught in this module."""


@dataclass(frozen=True)
class ContactRows:
    """Converts rows of contacts to lines for COPY."""

    layout: Layout
    refuse_roles: bool

    def __call__(self, row: Row) -> str:
        return _to_copy_line(row, self.layout, self._contact)

    def _contact(self, line: int, cells: Sequence[str]) -> str:
        fields = self.layout.fields
        address = _address(cells[fields["mailAddress"]])
        name = _line("name", unescape(cells[fields["name"]]))
        active = _boolean(cells[fields["isActive"]]) if "isActive" in fields else "\\N"
        attributes = self._attributes(cells)
        report = "\\N\t\\N"
        if address.partition("@")[0].lower() in ROLES:
            if self.refuse_roles:
                raise _RefusedError(ROLE_ADDRESS)
            report = f"{ImportOutcome.FLAGGED}\t{ROLE_ADDRESS}"
        return f"{line}\t{_escaped(name)}\t{address}\t{active}\t{_escaped(attributes)}\t{report}\n"

    def _attributes(self, cells: Sequence[str]) -> str:
        """Return the attributes as JSON, from the column `attributes` and the columns `attributes.<name>`."""
        position = self.layout.fields.get("attributes")
        found = _json(cells[position]) if position is not None and cells[position] else {}
        texts = {name: unescape(cells[at]) for name, at in self.layout.attributes if cells[at]}
        if found or not _is_plain("".join(texts.values())):
            found = _checked("attributes", _ATTRIBUTES, found | texts)
        return to_json(found or texts).decode()


@dataclass(frozen=True)
class SuppressionRows:
    """Converts rows of suppressions to lines for COPY; the reason is in the column of the contact's name."""

    layout: Layout

    def __call__(self, row: Row) -> str:
        return _to_copy_line(row, self.layout, self._suppression)

    def _suppression(self, line: int, cells: Sequence[str]) -> str:
        position = self.layout.fields.get("reason")
        reason = unescape(cells[position]) if position is not None else ""
        reason = _line("reason", reason) if reason else SuppressionReason.IMPORTED
        address = _address(cells[self.layout.fields["mailAddress"]])
        return f"{line}\t{_escaped(reason)}\t{address}\t\\N\t{{}}\t\\N\t\\N\n"


def _to_copy_line(row: Row, layout: Layout, write: Callable[[int, Sequence[str]], str]) -> str:
    if len(row.cells) != layout.width:
        return _refused(row, f"has {len(row.cells)} columns, but the first line has {layout.width}")
    try:
        return write(row.line, row.cells)
    except _RefusedError as error:
        return _refused(row, str(error))


def _refused(row: Row, reason: str) -> str:
    return f"{row.line}\t\\N\t\\N\t\\N\t\\N\t{ImportOutcome.REFUSED}\t{reason}\n"


def _address(cell: str) -> str:
    address = unescape(cell.strip())
    if len(address) <= _PLAIN_ADDRESS_LENGTH and _PLAIN_ADDRESS.fullmatch(address):
        return address
    return _escaped(_checked("mailAddress", _ADDRESS, address))


def _line(field: str, value: str) -> str:
    if value and _is_plain(value) and "=?" not in value:
        return value
    return _checked(field, _LINE, value)


def _is_plain(value: str) -> bool:
    return len(value) <= _PLAIN_LENGTH and value.isascii() and value.isprintable()


def _boolean(cell: str) -> str:
    try:
        return BOOLEANS[cell.strip().lower()]
    except KeyError:
        raise _RefusedError("isActive: must be true or false") from None


def _json(cell: str) -> dict[str, Any]:
    try:
        found = from_json(cell, allow_inf_nan=False)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _RefusedError("attributes: must be a JSON object")
    return found


def _checked(field: str, kind: TypeAdapter[Any], value: Any) -> Any:
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        [fault, *_] = error.errors(include_input=False)
        raise _RefusedError(_escaped(describe({**fault, "loc": ("body", field)}))) from None


def _escaped(value: str) -> str:
    """Escape a value for COPY text format. The value has no control characters."""
    return value.replace("\\", "\\\\") if "\\" in value else value
