"""Creates, reads and lifts suppressions."""

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
    """Suppress an address. If it is suppressed already, the existing suppression keeps its reason."""
    return Suppression.of(repository.suppress(connection, body.mail_address, body.reason, pads))


def find(connection: Connection, suppression: UUID) -> Suppression:
    row = repository.find(connection, suppression)
    if row is None:
        raise _not_found(suppression)
    return Suppression.of(row)


def lift(connection: Connection, suppression: UUID, body: Lifting, key_id: int) -> None:
    """Allow mails to the address again; record the person, the reason and the API key."""
    lifted = repository.lift(connection, suppression)
    if lifted is None:
        raise _not_found(suppression)
    detail = {"by": body.by, "reason": body.reason, "was": lifted.reason}
    repository.record_lifting(connection, {**detail, "address_hmac": lifted.address_hmac.hex()}, key_id)


def _not_found(suppression: UUID) -> NotFoundError:
    return NotFoundError(f"No suppression has the id {suppression}.")
