"""Converts rows of a file to lines for COPY, with the same validation and messages as the API."""

from __future__ import annotations

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
from crud_api.imports.opt_outs import OptOut, OptOutKind, read_cell, read_time
from sequence_store.domain.addresses import (
    PLAIN_ADDRESS,
    PLAIN_LENGTH,
    EnteredAddress,
    address_or_text,
    entered_address,
)
from sequence_store.domain.placeholders import is_missing_name
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

# A fast check for the common case. The field types accept all values that pass it, and validate the others.
_PLAIN_LENGTH = 255

_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)
_LINE: TypeAdapter[str] = TypeAdapter(Line)
_ATTRIBUTES: TypeAdapter[dict[str, Any]] = TypeAdapter(Attributes)


MISSING_NAME = "name: is missing or a placeholder; templates see no name"
_NULL = "\\N"
_NO_OPT_OUT = _NO_REPORT = f"{_NULL}\t{_NULL}"
_EMPTY = 8 * f"{_NULL}\t"


class _RefusedError(Exception):
    """Marks a row as refused; it is always caught in this module."""


@dataclass
class ContactRows:
    """Converts rows of contacts to lines for COPY, and counts what the answer reports."""

    layout: Layout
    refuse_roles: bool
    missing_names: int = 0
    opted_out: int = 0

    def __post_init__(self) -> None:
        fields = self.layout.fields
        self._address_at, self._name_at = fields["mailAddress"], fields["name"]
        self._active_at = fields.get("isActive")
        self._has_spellings = "mailAddressWritten" in fields
        self._has_opt_outs = bool(self.layout.opt_out_columns)

    def __call__(self, row: Row) -> str:
        return _to_copy_line(row, self.layout, self._contact)

    def _contact(self, line: int, cells: Sequence[str]) -> str:
        address = _address(cells[self._address_at])
        name = _line("name", unescape(cells[self._name_at]))
        active = _NULL if self._active_at is None else _boolean(cells[self._active_at])
        attributes = self._attributes(cells)
        flags = ""
        if address.partition("@")[0].lower() in ROLES:
            if self.refuse_roles:
                raise _RefusedError(ROLE_ADDRESS)
            flags = ROLE_ADDRESS
        opt_out = self._opt_out(cells) if self._has_opt_outs else _NO_OPT_OUT
        named = f"{_escaped(name)}\t\\N"
        if is_missing_name(name):
            self.missing_names += 1
            flags = f"{flags}; {MISSING_NAME}" if flags else MISSING_NAME
            named = f"{_NULL}\t{_escaped(name)}"
        report = f"{ImportOutcome.FLAGGED}\t{flags}" if flags else _NO_REPORT
        plain = type(address) is str and not self._has_spellings
        spelling = f"{address}\t\\N" if plain else self._spelling(address, cells)
        return f"{line}\t{named}\t{spelling}\t{active}\t{_escaped(attributes)}\t{opt_out}\t{report}\n"

    def _spelling(self, address: str, cells: Sequence[str]) -> str:
        """Return the address and what was written, which our own export has in a column of its own."""
        position = self.layout.fields.get("mailAddressWritten")
        written = unescape(cells[position].strip()) if position is not None else ""
        if written and address_or_text(written).lower() == address.lower():
            address = entered_address(written) if address_or_text(written) == address else address
        other = address.other_spelling if isinstance(address, EnteredAddress) else None
        return f"{_escaped(address)}\t{_NULL if other is None else _escaped(other)}"

    def _opt_out(self, cells: Sequence[str]) -> str:
        """Return the reason and the time of the suppression, for a contact that does not want mail."""
        found: OptOut | None = None
        for column in self.layout.opt_outs:
            try:
                found = column.read(cells[column.position]) or found
            except ValueError as error:
                raise _RefusedError(_escaped(f"{column.name}: {error}")) from None
        found = self._own_opt_out(cells) or found
        if found is None:
            return _NO_OPT_OUT
        self.opted_out += 1
        return f"{_escaped(found.reason)}\t{_NULL if found.at is None else found.at.isoformat()}"

    def _own_opt_out(self, cells: Sequence[str]) -> OptOut | None:
        """Return what the columns of our own export say."""
        fields = self.layout.fields
        if "suppressed" not in fields:
            return None
        try:
            said = read_cell(cells[fields["suppressed"]], OptOutKind.FLAG, SuppressionReason.OPTED_OUT)
        except ValueError as error:
            raise _RefusedError(f"suppressed: {error}") from None
        if said is None:
            return None
        reason, at = (
            unescape(cells[fields[name]]) if name in fields else ""
            for name in ("suppressionReason", "suppressedAt")
        )
        time = read_time(at) if at else said.at
        if at and time is None:
            raise _RefusedError("suppressedAt: must be a time, such as 2026-01-31T12:00:00Z")
        return OptOut(_line("suppressionReason", reason) if reason else said.reason, time)

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
        filled = f"{line}\t{_escaped(reason)}\t{_NULL}\t{_escaped(address)}\t{_NULL}\t{_NULL}\t{{}}"
        return f"{filled}\t{_NULL}\t{_NULL}\t{_NULL}\t{_NULL}\n"


def _to_copy_line(row: Row, layout: Layout, write: Callable[[int, Sequence[str]], str]) -> str:
    if len(row.cells) != layout.width:
        return _refused(row, f"has {len(row.cells)} columns, but the first line has {layout.width}")
    try:
        return write(row.line, row.cells)
    except _RefusedError as error:
        return _refused(row, str(error))


def _refused(row: Row, reason: str) -> str:
    return f"{row.line}\t{_EMPTY}{ImportOutcome.REFUSED}\t{reason}\n"


def _address(cell: str) -> str:
    address = unescape(cell.strip())
    if len(address) <= PLAIN_LENGTH and PLAIN_ADDRESS.fullmatch(address):
        return address
    return _checked("mailAddress", _ADDRESS, address)


def _line(field: str, value: str) -> str:
    if not value or (_is_plain(value) and "=?" not in value):
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
