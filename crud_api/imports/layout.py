"""Maps the columns of a file to the fields of a contact or a suppression, by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from crud_api.errors import InvalidInputError
from crud_api.imports.columns import (
    CONTACT_FIELDS,
    FIRST_NAME,
    FURTHER_MAIL_ADDRESS,
    LAST_NAME,
    MAIL_ADDRESS,
    NAME,
    NAME_OR_FIRST,
    NAME_OR_LAST,
    OPT_OUT,
    OWN_OPT_OUT,
    REASON,
    SUPPRESSION_FIELDS,
    chosen_opt_out,
    find_opt_outs,
    known_column,
    letters,
    own_opt_outs,
)
from crud_api.imports.encodings import UNDECODABLE
from crud_api.imports.mail_cells import is_address, read_mail_cell
from crud_api.imports.opt_outs import OptOutColumn, OptOutKind

Kind = Literal["contacts", "suppressions"]

LONGEST_COLUMN_NAME = 255
MOST_ATTRIBUTES = 500  # columns of a file that become attributes
MOST_LISTED = 500  # ignored columns that an answer lists
SUPPRESSED = "suppressed"
ATTRIBUTES = "attributes"
_WHOLE_NAMES = (NAME, NAME_OR_FIRST, NAME_OR_LAST)
_ALSO_ATTRIBUTES = frozenset({FIRST_NAME, LAST_NAME, FURTHER_MAIL_ADDRESS})


class NoAddressesError(InvalidInputError):
    """No column of a file is known to have mail addresses; `likely` is the position of one that has some."""

    def __init__(self, titles: Sequence[str], sample: Sequence[Sequence[str]]) -> None:
        self.titles = titles
        self.likely = _likely_addresses(titles, sample)
        hint = "" if self.likely is None else f" It may be column={MAIL_ADDRESS}:{titles[self.likely]}."
        super().__init__(
            f"body: no column matches {MAIL_ADDRESS}. "
            f"Select one with column={MAIL_ADDRESS}:<column name>.{hint}"
        )


def _likely_addresses(titles: Sequence[str], sample: Sequence[Sequence[str]]) -> int | None:
    """Return the position of the column of which most cells are mail addresses, or None."""
    filled, addresses = Counter[int](), Counter[int]()
    for cells in sample:
        for at, cell in enumerate(cells[: len(titles)]):
            if cell.strip():
                filled[at] += 1
                addresses[at] += is_address(read_mail_cell(cell).address)
    likely = [at for at in addresses if titles[at] and addresses[at] * 2 > filled[at]]
    return max(likely, key=lambda at: addresses[at], default=None)


@dataclass(frozen=True)
class Layout:
    """Maps the cells of a row to fields and attributes, by position.

    `names` are the columns of the whole name; if they are empty, `name_parts` are joined. `attributes` may
    contain a name twice: the first filled cell counts.
    """

    titles: Sequence[str]
    fields: Mapping[str, int]
    mail_addresses: Sequence[int]
    names: Sequence[int] = ()
    name_parts: Sequence[int] = ()
    attributes: Sequence[tuple[str, int]] = ()
    ignored: Sequence[str] = ()
    opt_outs: Sequence[OptOutColumn] = ()
    own_opt_out: str | None = None  # the name of the column `suppressed` of our own export
    used: Mapping[int, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return len(self.titles)

    @property
    def opt_out_columns(self) -> list[str]:
        """The names of the columns that say whether a contact wants mail."""
        own = [self.own_opt_out] if self.own_opt_out is not None else []
        return own + [column.name for column in self.opt_outs]

    def title_of(self, position: int) -> str:
        return self.titles[position]

    @property
    def columns(self) -> dict[str, list[str]]:
        """The names of the columns of each field."""
        found: dict[str, list[str]] = {}
        for position, of_field in sorted(self.used.items()):
            found.setdefault(of_field, []).append(self.titles[position])
        return found


def shown_title(name: str) -> str:
    """Return the name of a column as an answer shows it: one printable line of limited length."""
    line = " ".join(UNDECODABLE.sub("\N{REPLACEMENT CHARACTER}", name).split())
    printable = "".join(character if character.isprintable() else "?" for character in line)
    return printable[:LONGEST_COLUMN_NAME]


def field_of(name: str, kind: Kind) -> str | None:
    """Return the field of a column of this name, or None; a whole name may still be a part of one."""
    if kind == "suppressions":
        if letters(name) == REASON:
            return REASON
        known = known_column(name)
        return known.field if known and known.field in (MAIL_ADDRESS, FURTHER_MAIL_ADDRESS) else None
    if name.startswith("attributes.") and len(name) > len("attributes."):
        return name
    known = known_column(name)
    return known.field if known else None


def lay_out(
    header: Sequence[str],
    kind: Kind = "contacts",
    *,
    columns: Sequence[str] = (),
    others_are_attributes: bool = False,
    read_opt_outs: bool = False,
    sample: Sequence[Sequence[str]] = (),
) -> Layout:
    """Find the columns of each field.

    An entry `field:column` in `columns` applies first, then the names of columns.toml. With `read_opt_outs`,
    a column that is none of a field may say that a contact does not want mail; one of a general name, such as
    Status, stays what it is, too. Raise NoAddressesError if no column has mail addresses, which proposes one
    by the cells of `sample`, and InvalidInputError if an entry of `columns` is wrong.
    """
    titles = [shown_title(name) for name in header]
    chosen = _chosen(columns, titles, kind, opt_outs=read_opt_outs)
    found = [chosen.get(position) or field_of(title, kind) for position, title in enumerate(titles)]
    if read_opt_outs:
        own = own_opt_outs()
        found = [one or own.get(letters(title)) for one, title in zip(found, titles, strict=True)]
    found = _without_unchosen(found, chosen)
    opt_outs = _opt_outs(titles, found, chosen) if read_opt_outs else []
    taken = {
        one.position for one in opt_outs if one.kind is not OptOutKind.WORDS and one.position not in chosen
    }
    builder = _Builder(titles, found, taken, others_are_attributes=others_are_attributes, kind=kind)
    return builder.layout(opt_outs, chosen, sample)


def _without_unchosen(found: list[str | None], chosen: Mapping[int, str]) -> list[str | None]:
    """Drop what the names suggest for a field that `columns` selects, or that a chosen field replaces."""
    fields = set(chosen.values())
    dropped = fields & {*CONTACT_FIELDS, REASON, *OWN_OPT_OUT}
    if MAIL_ADDRESS in fields:
        dropped.add(FURTHER_MAIL_ADDRESS)
    if NAME in fields:
        dropped |= {*_WHOLE_NAMES, FIRST_NAME, LAST_NAME}
    elif fields & {FIRST_NAME, LAST_NAME}:
        dropped |= {*_WHOLE_NAMES}
    return [None if one in dropped and position not in chosen else one for position, one in enumerate(found)]


class _Builder:
    def __init__(
        self,
        titles: Sequence[str],
        found: Sequence[str | None],
        taken: set[int],
        *,
        others_are_attributes: bool,
        kind: Kind,
    ) -> None:
        self._titles = titles
        self._found = list(found)
        self._taken = taken
        self._others = others_are_attributes
        self._takes_attributes = kind == "contacts"
        self._used: dict[int, str] = {}
        self._fields: dict[str, int] = {}
        self._attributes: list[tuple[str, int]] = []
        self._ignored: list[str] = []

    def layout(
        self,
        opt_outs: Sequence[OptOutColumn],
        chosen: Mapping[int, str],
        sample: Sequence[Sequence[str]],
    ) -> Layout:
        self._resolve_names()
        for position, of_field in enumerate(self._found):
            if of_field != OPT_OUT and position not in self._taken:
                self._add(position, of_field)
        mail = self._positions(MAIL_ADDRESS) + self._positions(FURTHER_MAIL_ADDRESS)
        self._name_parts_as_attributes(chosen)
        if not mail:
            raise NoAddressesError(self._titles, sample)
        for one in opt_outs:
            self._used.setdefault(one.position, OPT_OUT)
        own = self._titles[self._fields[SUPPRESSED]] if SUPPRESSED in self._fields else None
        return Layout(
            self._titles,
            self._fields,
            mail,
            self._positions(NAME),
            self._name_parts(),
            self._attributes,
            self._ignored[:MOST_LISTED],
            opt_outs,
            own,
            self._used,
        )

    def _resolve_names(self) -> None:
        """Decide whether a column such as Nom or Nombre has the whole name or, beside the other, a part."""
        found = self._found
        first, last = FIRST_NAME in found, LAST_NAME in found
        for position, one in enumerate(found):
            if one == NAME_OR_FIRST:
                found[position] = FIRST_NAME if last and not first else NAME
            elif one == NAME_OR_LAST:
                found[position] = LAST_NAME if first and not last else NAME
            elif one == NAME and first and not last and letters(self._titles[position]) == NAME:
                found[position] = LAST_NAME  # as in Vorname, Name; rows.py notices a whole name

    def _add(self, position: int, of_field: str | None) -> None:
        title = self._titles[position]
        if of_field is not None and of_field.startswith("attributes."):
            self._add_attribute(of_field.partition(".")[2], position)
        elif of_field in (MAIL_ADDRESS, FURTHER_MAIL_ADDRESS, NAME, FIRST_NAME, LAST_NAME):
            self._used[position] = of_field
        elif of_field is not None and of_field not in self._fields:
            self._fields[of_field] = position
            self._used[position] = of_field
        elif self._others and title:
            self._add_attribute(title, position)
        else:
            self._ignored.append(title)
        if of_field in _ALSO_ATTRIBUTES and self._others:
            self._add_attribute(title, position)

    def _add_attribute(self, name: str, position: int) -> None:
        if not self._takes_attributes or len(self._attributes) >= MOST_ATTRIBUTES:
            self._ignored.append(self._titles[position])
            return
        self._attributes.append((name, position))
        self._used.setdefault(position, f"attributes.{name}")

    def _positions(self, of_field: str) -> list[int]:
        return [position for position, one in self._used.items() if one == of_field]

    def _name_parts(self) -> list[int]:
        first, last = self._positions(FIRST_NAME)[:1], self._positions(LAST_NAME)[:1]
        known = known_column(self._titles[last[0]]) if last else None
        return [*last, *first] if known and known.family_first else [*first, *last]

    def _name_parts_as_attributes(self, chosen: Mapping[int, str]) -> None:
        """Keep a part of a name that `columns` makes an attribute as a part of the name, too."""
        for position, of_field in chosen.items():
            known = known_column(self._titles[position]) if of_field.startswith("attributes.") else None
            if known and known.field in (FIRST_NAME, LAST_NAME) and not self._positions(known.field):
                self._used[position] = known.field


def _opt_outs(
    titles: Sequence[str], found: Sequence[str | None], chosen: Mapping[int, str]
) -> list[OptOutColumn]:
    """Return the columns that say whether a contact wants mail; attributes may say so, too."""
    known = {one.position: one for one in find_opt_outs(titles)}
    columns = []
    for position, (title, of_field) in enumerate(zip(titles, found, strict=True)):
        if chosen.get(position) == OPT_OUT:
            columns.append(chosen_opt_out(position, title))
        elif position in known and (
            of_field is None or (position in chosen and of_field.startswith("attributes."))
        ):
            columns.append(known[position])
    return columns


def _chosen(columns: Sequence[str], titles: Sequence[str], kind: Kind, *, opt_outs: bool) -> dict[int, str]:
    """Return the fields that the request selects, by the position of their column."""
    fields: tuple[str, ...] = SUPPRESSION_FIELDS if kind == "suppressions" else CONTACT_FIELDS
    if opt_outs:
        fields = (*fields, *OWN_OPT_OUT, OPT_OUT)
    chosen: dict[int, str] = {}
    for one in columns:
        of_field, colon, name = one.partition(":")
        is_attribute = of_field.startswith("attributes.") and len(of_field) > len("attributes.")
        if not colon or not (of_field in fields or (is_attribute and kind == "contacts")):
            raise InvalidInputError(
                f"column: must be a field and a column name, such as {MAIL_ADDRESS}:Title; the fields are "
                f"{', '.join(fields)}" + (" and attributes.<name>" if kind == "contacts" else "")
            )
        position = _position_of(name, titles)
        if position is None:
            raise InvalidInputError(
                f"column: the file does not have the column given for {of_field[:LONGEST_COLUMN_NAME]}"
            )
        if position in chosen or of_field in chosen.values():
            raise InvalidInputError("column: contains a field or a column twice")
        chosen[position] = of_field
    return chosen


def _position_of(name: str, titles: Sequence[str]) -> int | None:
    """Return the position of the column with this name, else of the one with the same letters."""
    wanted = shown_title(name)
    if wanted in titles:
        return titles.index(wanted)
    same = [position for position, title in enumerate(titles) if letters(title) == letters(name) != ""]
    return same[0] if len(same) == 1 else None
