"""Lists come in pages: by number, or after a cursor, which costs the same however far in it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import ColumnElement, Connection, Select, func, literal, select

from crud_api.answers import written
from crud_api.tables import AnyRow

DEFAULT_SIZE = 50
LARGEST_SIZE = 100
LARGEST_PAGE = 10_000
COUNTED_UP_TO = 10_000
TOTAL_COUNT = "X-Total-Count"
NEXT_CURSOR = "X-Next-Cursor"

LONG = "_long"  # ends the cursors of a list that has too many items to count: its other pages do not try

_NUMBER = "-?[0-9]{1,18}"

Item = TypeVar("Item")
Other = TypeVar("Other")
Key = tuple[int, ...]


def cursor_pattern(length: int) -> str:
    """Return what a cursor of so many numbers looks like."""
    return "^" + "_".join([_NUMBER] * length) + f"({LONG})?$"


class Paging(BaseModel):
    """The query of a list. An empty size or page counts as none; an unknown name is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    size: int = Field(DEFAULT_SIZE, ge=1, le=LARGEST_SIZE, description="Items in a page; empty for 50")
    page: int = Field(0, ge=0, le=LARGEST_PAGE, description="Number of the page, from 0; empty for 0")
    after: str | None = Field(
        None,
        pattern=cursor_pattern(1),
        description=f"The {NEXT_CURSOR} of the page before; `page` then counts from there",
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, query: Any) -> Any:
        if not isinstance(query, dict):
            return query
        return {name: value for name, value in query.items() if value != "" or name not in {"size", "page"}}

    @property
    def cursor(self) -> Key | None:
        """The key after which the page starts."""
        if self.after is None:
            return None
        return tuple(int(part) for part in self.after.removesuffix(LONG).split("_"))

    @property
    def is_long(self) -> bool:
        """Whether the page before found too many items to count."""
        return self.after is not None and self.after.endswith(LONG)

    @property
    def offset(self) -> int:
        return self.page * self.size


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some items of a list; `total` is None where there are too many to count, `next` at the end."""

    items: list[Item]
    total: int | None
    next: str | None

    def with_items(self, items: Sequence[Other]) -> Page[Other]:
        return Page(list(items), self.total, self.next)

    def shown(self) -> Response:
        """Answer with the items, and with the page's headers."""
        headers = {TOTAL_COUNT: self.total, NEXT_CURSOR: self.next}
        told = {name: str(value) for name, value in headers.items() if value is not None}
        return Response(written(self.items), headers=told, media_type="application/json")


def read_page(
    connection: Connection,
    statement: Select[Any],
    paging: Paging,
    *,
    key: ColumnElement[int],
    begins: Callable[[int], ColumnElement[bool]] | None = None,
) -> Page[AnyRow]:
    """Read one page of `statement` in the order of `key`, which the statement also selects as `row_key`.

    `begins` says behind which row of a joined table a page starts that comes after a `key`: Postgres does not
    infer by itself that a page far in starts far in there, too, and would walk up to it.
    """
    cursor = paging.cursor
    rows = statement.order_by(key)
    if cursor is not None:
        rows = rows.where(key > cursor[0], *([begins(cursor[0])] if begins else []))
    return _read(connection, rows, paging, total=count(connection, statement.order_by(key), paging))


def read_sorted_page(
    connection: Connection,
    statement: Select[Any],
    paging: Paging,
    *,
    key: ColumnElement[int],
    sort: str,
    orders: Mapping[str, ColumnElement[Any]],
) -> Page[AnyRow]:
    """Read one page of `statement` in the order that `sort` names: one of `orders`, with `-` the other way.

    A cursor is the `key` of the row before, whatever the order, so that it holds nobody's address.
    """
    cursor = paging.cursor
    column, descending = orders[sort.removeprefix("-")], sort.startswith("-")
    rows = statement.order_by(column.desc() if descending else column.asc())
    if cursor is not None:
        before = select(column).where(key == cursor[0]).correlate(None).scalar_subquery()
        rows = rows.where(column < before if descending else column > before)
    return _read(connection, rows, paging, total=count(connection, statement.order_by(key), paging))


def _read(connection: Connection, ordered: Select[Any], paging: Paging, *, total: int | None) -> Page[AnyRow]:
    page = ordered.limit(paging.size + 1)
    found = connection.execute(page.offset(paging.offset) if paging.offset else page).all()
    return page_of(found, paging, total=total, key=lambda row: (row.row_key,))


def page_of(found: Sequence[Item], paging: Paging, *, total: int | None, key: Any) -> Page[Item]:
    """Make a page of up to `size` + 1 items; the one too many says that there is a next page."""
    items = list(found[: paging.size])
    if len(found) <= paging.size:
        return Page(items, total, None)
    following = "_".join(map(str, key(items[-1])))
    return Page(items, total, following + LONG if total is None else following)


def count(connection: Connection, statement: Select[Any], paging: Paging) -> int | None:
    """Count the rows of `statement`, but no further than 10,000: None means more.

    Where it names an order, an index leads to the rows, past those that are deleted or filtered out.
    """
    if paging.is_long:
        return None
    some = statement.with_only_columns(literal(1)).limit(COUNTED_UP_TO + 1).subquery()
    found = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return found if found <= COUNTED_UP_TO else None
