"""Which mailboxes send a sequence."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection

from crud_api.assignments import repository
from crud_api.mailboxes.schemas import Mailbox
from crud_api.mailboxes.service import unknown
from crud_api.paging import Page, Paging
from crud_api.sequences.service import internal_id
from crud_api.tables import AnyRow


def read(connection: Connection, sequence: UUID, paging: Paging) -> Page[Mailbox]:
    page = repository.read(connection, internal_id(connection, sequence), paging)
    return page.with_items([Mailbox.model_validate(row) for row in page.items])


def assign(connection: Connection, sequence: UUID, mailboxes: Collection[UUID]) -> list[Mailbox]:
    """Assign all of the mailboxes, or none where one is unknown; return them."""
    sequence_id = internal_id(connection, sequence)
    found = _all_of(connection, mailboxes)
    repository.assign(connection, sequence_id, [row.row_key for row in found])
    return [Mailbox.model_validate(row) for row in found]


def withdraw(connection: Connection, sequence: UUID, mailboxes: Collection[UUID]) -> None:
    sequence_id = internal_id(connection, sequence)
    found = _all_of(connection, mailboxes)
    repository.withdraw(connection, sequence_id, [row.row_key for row in found])


def _all_of(connection: Connection, mailboxes: Collection[UUID]) -> list[AnyRow]:
    found = list(repository.named(connection, mailboxes))
    missing = set(mailboxes) - {row.id for row in found}
    if missing:
        raise unknown(min(missing))
    return found
