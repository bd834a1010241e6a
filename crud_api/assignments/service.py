"""Lists, assigns and unassigns the mailboxes of a sequence."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection

from crud_api.assignments import repository
from crud_api.mailboxes.schemas import Mailbox
from crud_api.mailboxes.service import not_found
from crud_api.paging import Page, Paging
from crud_api.sequences.service import internal_id


def read(connection: Connection, sequence: UUID, paging: Paging) -> Page[Mailbox]:
    page = repository.read(connection, internal_id(connection, sequence), paging)
    return page.with_items([Mailbox.of(row) for row in page.items])


def assign(connection: Connection, sequence: UUID, mailboxes: Collection[UUID]) -> list[Mailbox]:
    """Assign the mailboxes and return them. Raise NotFoundError, and assign none, if one does not exist."""
    sequence_id = internal_id(connection, sequence)
    found = repository.find_mailboxes(connection, mailboxes)
    if missing := set(mailboxes) - {row.id for row in found}:
        raise not_found(min(missing))
    repository.assign(connection, sequence_id, [row.row_key for row in found])
    return [Mailbox.of(row) for row in found]


def withdraw(connection: Connection, sequence: UUID, mailboxes: Collection[UUID]) -> None:
    """Unassign the mailboxes; skip those that are not assigned."""
    sequence_id = internal_id(connection, sequence)
    repository.withdraw(connection, sequence_id, mailboxes)
