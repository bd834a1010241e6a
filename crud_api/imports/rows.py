"""Converts rows of a file to lines for COPY, with the same validation and messages as the API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from crud_api.contacts.attributes import Attributes
from crud_api.exception_handlers import describe
from crud_api.fields import Address, Line
from crud_api.imports.cells import unescape
from crud_api.imports.columns import letters
from crud_api.imports.csv_file import Row
from crud_api.imports.encodings import UNDECODABLE
from crud_api.imports.layout import Layout, shown_title
from crud_api.imports.mail_cells import SEVERAL, MailCell, read_mail_cell
from crud_api.imports.opt_outs import OptOut, OptOutKind, read_cell, read_time, says_yes
from crud_api.imports.table import BLANK, is_blank
from sequence_store.domain.addresses import (
    PLAIN_ADDRESS,
    PLAIN_LENGTH,
    EnteredAddress,
    address_or_text,
    entered_address,
)
from sequence_store.domain.placeholders import is_missing_name, is_missing_value
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
_LONGEST_TITLE = 60  # of a column in a message
_EDGES = "\n\r"  # line ends at the edges of a cell are dropped; within it they are refused

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
    """Converts rows of contacts to lines for COPY, and counts what the answer reports.

    `encoding` names the encoding of the file in messages.
    """

    layout: Layout
    refuse_roles: bool
    encoding: str = "text"
    header_line: int = 1
    missing_names: int = 0
    opted_out: int = 0

    def __post_init__(self) -> None:
        layout = self.layout
        self._address_at = layout.mail_addresses[0]
        self._other_addresses = layout.mail_addresses[1:]
        self._name_at = layout.names[0] if len(layout.names) == 1 else None
        self._has_name = bool(layout.names or layout.name_parts)
        self._active_at = layout.fields.get("isActive")
        self._has_spellings = "mailAddressWritten" in layout.fields
        self._has_opt_outs = bool(layout.opt_out_columns)

    def __call__(self, row: Row) -> str:
        return _to_copy_line(row, self, self._contact)

    def _contact(self, line: int, cells: Sequence[str]) -> str:
        address, flags, beside = cells[self._address_at], "", ""
        if len(address) > PLAIN_LENGTH or not PLAIN_ADDRESS.fullmatch(address):
            address, flags, beside = self._read_address(cells)
        name = self._name(cells)
        if beside and is_missing_name(name):
            name = beside
        active = _NULL if self._active_at is None else _boolean(cells[self._active_at])
        attributes = self._attributes(cells)
        if address.partition("@")[0].lower() in ROLES:
            if self.refuse_roles:
                raise _RefusedError(ROLE_ADDRESS)
            flags = f"{flags}; {ROLE_ADDRESS}" if flags else ROLE_ADDRESS
        opt_out = self._opt_out(cells) if self._has_opt_outs else _NO_OPT_OUT
        named = f"{_escaped(name)}\t\\N"
        if is_missing_name(name):
            named = f"{_NULL}\t{_escaped(name)}"
            if self._has_name:
                self.missing_names += 1
                flags = f"{flags}; {MISSING_NAME}" if flags else MISSING_NAME
        report = f"{ImportOutcome.FLAGGED}\t{_escaped(flags)}" if flags else _NO_REPORT
        plain = type(address) is str and not self._has_spellings
        spelling = f"{address}\t\\N" if plain else self._spelling(address, cells)
        return f"{line}\t{named}\t{spelling}\t{active}\t{_escaped(attributes)}\t{opt_out}\t{report}\n"

    def _read_address(self, cells: Sequence[str]) -> tuple[str, str, str]:
        """Return the address of a row, a remark for the report, and the name that stands beside the address.

        The first filled cell counts. If it has no address, and a further one has, that one does.
        """
        filled = [at for at in self.layout.mail_addresses if not _is_empty(cells[at])]
        fault: _RefusedError | None = None
        for position in filled or [self._address_at]:
            cell = unescape(cells[position].strip())
            found = MailCell(cell) if self._has_spellings else read_mail_cell(cell)
            try:
                address = _address(found.address)
            except _RefusedError as error:
                fault = fault or _RefusedError(f"{error}{self._column(position)}")
                continue
            flags = f"mailAddress: has {SEVERAL}{self._column(position)}" if found.others else ""
            if fault is not None:
                flags = f"{fault}; the address of {_one_line(self.layout.title_of(position))} was taken"
            return address, flags, _line_or_nothing(found.name)
        assert fault is not None  # noqa: S101  # the loop has at least one cell
        raise fault

    def _column(self, position: int) -> str:
        """Return what names the column in a message, if its title is not that of the field."""
        title = self.layout.title_of(position)
        return (
            "" if letters(title) == letters(self.layout.used[position]) else f" (column {_one_line(title)})"
        )

    def _name(self, cells: Sequence[str]) -> str:
        """Return the whole name, or the parts of it in their order, or an empty text."""
        if self._name_at is not None:
            return self._part(self._name_at, cells)
        for position in self.layout.names:
            if cells[position].strip() and not is_missing_name(cells[position]):
                return self._part(position, cells)
        parts = [self._part(position, cells).strip() for position in self.layout.name_parts]
        parts = [part for part in parts if part and not is_missing_name(part)]
        if len(parts) == 2 and _contains_name(parts[1], parts[0]):  # noqa: PLR2004
            return parts[1]  # beside the first name there is the whole name, not the last one
        return _line("name", " ".join(parts)) if parts else self._first_filled(cells)

    def _part(self, position: int, cells: Sequence[str]) -> str:
        try:
            return _line("name", unescape(cells[position]))
        except _RefusedError as error:
            raise _RefusedError(f"{error}{self._column(position)}") from None

    def _first_filled(self, cells: Sequence[str]) -> str:
        """Return a placeholder, if the row has one instead of a name."""
        positions = [*self.layout.names, *self.layout.name_parts]
        return next((self._part(at, cells) for at in positions if cells[at].strip()), "")

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
        texts: dict[str, str] = {}
        for name, at in self.layout.attributes:
            if cells[at]:
                texts.setdefault(name, unescape(cells[at]))
        joined = "".join(texts.values())
        if found or not _is_plain(joined):
            if UNDECODABLE.search(joined):
                raise _RefusedError("attributes: must be valid text")
            found = _checked("attributes", _ATTRIBUTES, found | texts)
        return to_json(found or texts).decode()


@dataclass(frozen=True)
class SuppressionRows:
    """Converts rows of suppressions to lines for COPY; the reason is in the column of the contact's name."""

    layout: Layout
    encoding: str = "text"
    header_line: int = 1

    def __call__(self, row: Row) -> str:
        return _to_copy_line(row, self, self._suppression)

    def _suppression(self, line: int, cells: Sequence[str]) -> str:
        """Return a line for each address of the row: every one of them is suppressed."""
        position = self.layout.fields.get("reason")
        reason = unescape(cells[position]) if position is not None else ""
        reason = _line("reason", reason) if reason else SuppressionReason.IMPORTED
        filled = [at for at in self.layout.mail_addresses if not _is_empty(cells[at])]
        addresses: dict[str, None] = {}
        fault: _RefusedError | None = None
        for at in filled or self.layout.mail_addresses[:1]:
            found = read_mail_cell(unescape(cells[at].strip()))
            try:
                addresses |= dict.fromkeys(_address(one) for one in (found.address, *found.others))
            except _RefusedError as error:
                fault = fault or error
        if fault is not None and not addresses:
            raise fault
        report = _NO_REPORT if fault is None else f"{ImportOutcome.FLAGGED}\t{fault}"
        lines = []
        for address in addresses:
            values = f"{line}\t{_escaped(reason)}\t{_NULL}\t{_escaped(address)}\t{_NULL}\t{_NULL}\t{{}}"
            lines.append(f"{values}\t{_NULL}\t{_NULL}\t{report}\n")
            report = _NO_REPORT
        return "".join(lines)


class _Writer(Protocol):
    @property
    def layout(self) -> Layout: ...
    @property
    def encoding(self) -> str: ...
    @property
    def header_line(self) -> int: ...


def _to_copy_line(row: Row, writer: _Writer, write: Callable[[int, Sequence[str]], str]) -> str:
    """Return the line of a row; an empty text for a row without any text."""
    line, cells, fault = row
    if len(cells) == len(writer.layout.titles):
        try:
            return write(line, cells)
        except _RefusedError as error:
            fault = str(error)
    if cells and is_blank(cells):
        return ""
    if fault is None:
        first = "the first line" if writer.header_line == 1 else f"line {writer.header_line}"
        fault = f"has {len(cells)} columns, but {first} has {writer.layout.width}"
    return _refused(row, _explained(fault, row, writer))


def _explained(fault: str, row: Row, writer: _Writer) -> str:
    """Return why a row is refused: that it is not text, or repeats the names of the columns, comes first."""
    if any(UNDECODABLE.search(row.cells[at]) for at in writer.layout.used if at < len(row.cells)):
        return f"is not valid {writer.encoding}; set `encoding` to that of the file, or mend the line"
    titles = [shown_title(cell) for cell in row.cells]
    if titles and titles == list(writer.layout.titles):
        return "repeats the names of the columns"
    return fault


def _refused(row: Row, reason: str) -> str:
    return f"{row.line}\t{_EMPTY}{ImportOutcome.REFUSED}\t{reason}\n"


def _address(address: str) -> str:
    if len(address) <= PLAIN_LENGTH and PLAIN_ADDRESS.fullmatch(address):
        return address
    return _checked("mailAddress", _ADDRESS, address)


def _is_empty(cell: str) -> bool:
    """Return whether a cell that should have an address has none, or a placeholder such as n/a or -."""
    text = cell.strip(BLANK)
    return text in ("", "-", "--") or ("@" not in text and is_missing_value(text))


def _contains_name(whole: str, part: str) -> bool:
    """Return whether the whole name begins or ends with this part of it."""
    whole, part = whole.casefold(), part.casefold()
    return whole != part and (whole.startswith(f"{part} ") or whole.endswith(f" {part}"))


def _line_or_nothing(text: str) -> str:
    try:
        return _line("name", text)
    except _RefusedError:
        return ""


def _one_line(title: str) -> str:
    return _escaped(title[:_LONGEST_TITLE])


def _line(field: str, value: str) -> str:
    if not value or (_is_plain(value) and "=?" not in value):
        return value
    value = value.strip(_EDGES)
    if not value:
        return value
    return _checked(field, _LINE, value)


def _is_plain(value: str) -> bool:
    return len(value) <= _PLAIN_LENGTH and value.isascii() and value.isprintable()


def _boolean(cell: str) -> str:
    text = cell.strip().lower()
    if text in BOOLEANS:
        return BOOLEANS[text]
    if (said := says_yes(text)) is None:
        raise _RefusedError("isActive: must be true or false")
    return "t" if said else "f"


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
