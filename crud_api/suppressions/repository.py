"""The statements of suppressions."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from crud_api.paging import Page, read_page
from crud_api.suppressions.schemas import SuppressionQuery
from crud_api.tables import AnyRow, api_keys, send_events, suppressions

SHOWN = (
    suppressions.c.id.label("row_key"),
    suppressions.c.external_id.label("id"),
    suppressions.c.reason,
    suppressions.c.at,
)


def read(connection: Connection, query: SuppressionQuery, pads: bytes) -> Page[AnyRow]:
    statement = select(*SHOWN).select_from(suppressions)
    if query.mail_address is not None:
        statement = statement.where(_is_of(query.mail_address, pads))
    return read_page(connection, statement, query, key=suppressions.c.id)


def find(connection: Connection, suppression: UUID) -> AnyRow | None:
    return connection.execute(select(*SHOWN).where(suppressions.c.external_id == suppression)).first()


def suppress(connection: Connection, address: str, reason: str, pads: bytes) -> AnyRow:
    """Suppress the address and stop everything for it; return the suppression, which may be an older one."""
    connection.execute(select(func.suppress_address(address, "removed", reason, literal(pads))))
    return connection.execute(select(*SHOWN).where(_is_of(address, pads))).one()


def lift(connection: Connection, suppression: UUID) -> AnyRow | None:
    """Delete a suppression; return what it was."""
    statement = delete(suppressions).where(suppressions.c.external_id == suppression)
    return connection.execute(statement.returning(suppressions.c.address_hmac, suppressions.c.reason)).first()


def note_lifting(connection: Connection, detail: dict[str, str], key_id: int) -> None:
    """Keep the event; its actor is the key in use, which nobody can only claim to have."""
    key = select(literal(f"key {key_id}: ") + api_keys.c.key_name).where(api_keys.c.id == key_id)
    actor = func.coalesce(key.scalar_subquery(), func.session_user())
    event = {"kind": "suppression_lifted", "actor": actor, "detail": literal(detail, JSONB)}
    connection.execute(insert(send_events).values(**event))


def _is_of(address: str, pads: bytes) -> ColumnElement[bool]:
    return suppressions.c.address_hmac == func.address_hmac(address, literal(pads))
