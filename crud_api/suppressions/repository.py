"""Reads and writes suppressions."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from crud_api.paging import Page, read_page
from crud_api.suppressions.schemas import SuppressionQuery
from crud_api.tables import AnyRow, api_keys, send_events, suppressions
from sequence_store.domain.states import EnrolmentStatus, EventKind

SHOWN = (
    suppressions.c.id.label("row_key"),
    suppressions.c.external_id.label("id"),
    suppressions.c.reason,
    suppressions.c.at,
    suppressions.c.until,
)


def read(connection: Connection, query: SuppressionQuery, pads: bytes) -> Page[AnyRow]:
    statement = select(*SHOWN).select_from(suppressions)
    if query.mail_address is not None:
        statement = statement.where(_matches(query.mail_address, pads))
    return read_page(connection, statement, query, key=suppressions.c.id)


def find(connection: Connection, suppression: UUID) -> AnyRow | None:
    return connection.execute(select(*SHOWN).where(suppressions.c.external_id == suppression)).first()


def suppress(connection: Connection, address: str, reason: str, pads: bytes) -> AnyRow:
    """Suppress the address, end its enrolments and cancel its sends; return its suppression."""
    connection.execute(
        select(func.suppress_address(address, EnrolmentStatus.REMOVED.value, reason, literal(pads)))
    )
    return connection.execute(select(*SHOWN).where(_matches(address, pads))).one()


def lift(connection: Connection, suppression: UUID) -> AnyRow | None:
    """Delete a suppression and forget the address's refusals; return the row, None if it does not exist."""
    statement = delete(suppressions).where(suppressions.c.external_id == suppression)
    deleted = statement.returning(suppressions.c.address_hmac, suppressions.c.reason)
    lifted = connection.execute(deleted).first()
    if lifted is not None:
        connection.execute(select(func.forget_refusals(lifted.address_hmac)))
    return lifted


def record_lifting(connection: Connection, detail: dict[str, str], key_id: int) -> None:
    """Record the event. The actor is the API key of the request, because the client cannot forge it."""
    key = select(literal(f"key {key_id}: ") + api_keys.c.key_name).where(api_keys.c.id == key_id)
    actor = func.coalesce(key.scalar_subquery(), func.session_user())
    event = {"kind": EventKind.SUPPRESSION_LIFTED, "actor": actor, "detail": literal(detail, JSONB)}
    connection.execute(insert(send_events).values(**event))


def _matches(address: str, pads: bytes) -> ColumnElement[bool]:
    return suppressions.c.address_hmac == func.address_hmac(address, literal(pads))
