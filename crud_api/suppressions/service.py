"""What may be done with suppressions."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from crud_api.errors import NotFoundError
from crud_api.paging import Page
from crud_api.suppressions import repository
from crud_api.suppressions.schemas import Lifting, Suppression, SuppressionCreate, SuppressionQuery


def read(connection: Connection, query: SuppressionQuery, pads: bytes) -> Page[Suppression]:
    page = repository.read(connection, query, pads)
    return page.with_items([Suppression.of(row) for row in page.items])


def suppress(connection: Connection, body: SuppressionCreate, pads: bytes) -> Suppression:
    """Suppress an address; one that is suppressed already keeps its first reason."""
    return Suppression.of(repository.suppress(connection, body.mail_address, body.reason, pads))


def find(connection: Connection, suppression: UUID) -> Suppression:
    row = repository.find(connection, suppression)
    if row is None:
        raise _missing(suppression)
    return Suppression.of(row)


def lift(connection: Connection, suppression: UUID, body: Lifting, key_id: int) -> None:
    """Let the address be mailed again, and keep who said so and why, and with which key."""
    lifted = repository.lift(connection, suppression)
    if lifted is None:
        raise _missing(suppression)
    detail = {"by": body.by, "reason": body.reason, "was": lifted.reason}
    repository.note_lifting(connection, {**detail, "address_hmac": lifted.address_hmac.hex()}, key_id)


def _missing(suppression: UUID) -> NotFoundError:
    return NotFoundError(f"No suppression has the id {suppression}.")
