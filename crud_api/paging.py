"""Reads lists in pages, by page number or after a cursor. A cursor costs the same at any position."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Response
from pydantic import Field, model_validator
from sqlalchemy import BigInteger, ColumnElement, Connection, Select, func, literal, select, tuple_

from crud_api.base_schema import Query
from crud_api.responses import to_json_bytes
from crud_api.tables import AnyRow

DEFAULT_SIZE = 50
LARGEST_SIZE = 100
LARGEST_PAGE = 10_000
COUNT_LIMIT = 10_000
TOTAL_COUNT = "X-Total-Count"
NEXT_CURSOR = "X-Next-Cursor"

AFTER = f"The {NEXT_CURSOR} of the previous page; `page` then counts from there"
SORT = "Order of the list; the prefix - reverses it"

LONG = "_long"  # ends the cursors of a list that is too long to count, so that later pages skip the count

_NUMBER = "-?[0-9]{1,18}"

Item = TypeVar("Item")
Other = TypeVar("Other")
Key = tuple[int, ...]


def cursor_pattern(length: int) -> str:
    """Return the pattern of a cursor that has `length` numbers."""
    return "^" + "_".join([_NUMBER] * length) + f"({LONG})?$"


class Paging(Query):
    """The query parameters of a list. An empty `size` or `page` is ignored; unknown names are rejected."""

    size: int = Field(DEFAULT_SIZE, ge=1, le=LARGEST_SIZE, description="Items per page; 50 if empty")
    page: int = Field(0, ge=0, le=LARGEST_PAGE, description="Number of the page, from 0; 0 if empty")
    after: str | None = Field(
        None,
        pattern=cursor_pattern(1),
        description=AFTER,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, query: Any) -> Any:
        if not isinstance(query, dict):
            return query
        return {name: value for name, value in query.items() if value != "" or name not in {"size", "page"}}

    @property
    def cursor(self) -> Key | None:
        """The key of the row after which the page starts."""
        if self.after is None:
            return None
        return tuple(int(part) for part in self.after.removesuffix(LONG).split("_"))

    @property
    def is_long(self) -> bool:
        """Whether the previous page found the list too long to count."""
        return self.after is not None and self.after.endswith(LONG)

    @property
    def offset(self) -> int:
        return self.page * self.size


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list. `total` is None if the list is too long to count, `next` on the last page."""

    items: list[Item]
    total: int | None
    next: str | None

    def with_items(self, items: Sequence[Other]) -> Page[Other]:
        return Page(list(items), self.total, self.next)

    def response(self) -> Response:
        """Return the items as JSON, with the headers of the page."""
        headers = {TOTAL_COUNT: self.total, NEXT_CURSOR: self.next}
        present = {name: str(value) for name, value in headers.items() if value is not None}
        return Response(to_json_bytes(self.items), headers=present, media_type="application/json")


def read_page(
    connection: Connection,
    statement: Select[Any],
    paging: Paging,
    *,
    key: ColumnElement[int],
    page_start: Callable[[int], ColumnElement[bool]] | None = None,
) -> Page[AnyRow]:
    """Read one page of `statement` in the order of `key`, which the statement also selects as `row_key`.

    If a joined table has an index in the same order, `page_start(key)` returns the condition that skips its
    rows up to `key`. Postgres does not infer it, and would read all of these rows for a page far into the
    list.
    """
    cursor = paging.cursor
    rows = statement.order_by(key)
    if cursor is not None:
        rows = rows.where(key > cursor[0], *([page_start(cursor[0])] if page_start else []))
    return _read(connection, rows, paging, total=count(connection, statement.order_by(key), paging))


def read_sorted_page(
    connection: Connection,
    statement: Select[Any],
    paging: Paging,
    *,
    key: ColumnElement[int],
    sort: str,
    orders: Mapping[str, ColumnElement[Any]],
    ties: Collection[str] = (),
) -> Page[AnyRow]:
    """Read one page of `statement` in the order `sort`: a name in `orders`, reversed by the prefix `-`.

    Rows that are equal in an order of `ties` are in order of `key`; in other orders no two rows are equal.
    The cursor is the `key` of the last row in every order, so that it contains no address.
    """
    cursor = paging.cursor
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    columns = [orders[name], key] if name in ties else [orders[name]]
    rows = statement.order_by(*(column.desc() if descending else column.asc() for column in columns))
    if cursor is not None:
        last_value = select(orders[name]).where(key == cursor[0]).correlate(None).scalar_subquery()
        place, last = (
            (tuple_(*columns), tuple_(last_value, literal(cursor[0], BigInteger)))
            if name in ties
            else (orders[name], last_value)
        )
        rows = rows.where(place < last if descending else place > last)
    return _read(connection, rows, paging, total=count(connection, statement.order_by(key), paging))


def _read(connection: Connection, ordered: Select[Any], paging: Paging, *, total: int | None) -> Page[AnyRow]:
    page = ordered.limit(paging.size + 1)
    found = connection.execute(page.offset(paging.offset) if paging.offset else page).all()
    return page_of(found, paging, total=total, key=lambda row: (row.row_key,))


def page_of(found: Sequence[Item], paging: Paging, *, total: int | None, key: Any) -> Page[Item]:
    """Build a page from up to `size` + 1 rows; the extra row shows that there is a next page."""
    items = list(found[: paging.size])
    if len(found) <= paging.size:
        return Page(items, total, None)
    following = "_".join(map(str, key(items[-1])))
    return Page(items, total, following + LONG if total is None else following)


def count(connection: Connection, statement: Select[Any], paging: Paging) -> int | None:
    """Count the rows of `statement`; return None if there are more than COUNT_LIMIT.

    With an ORDER BY, Postgres reads the rows through an index and skips deleted and filtered rows cheaply.
    """
    if paging.is_long:
        return None
    some = statement.with_only_columns(literal(1)).limit(COUNT_LIMIT + 1).subquery()
    found = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return found if found <= COUNT_LIMIT else None
