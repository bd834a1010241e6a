"""Reads and writes the mailboxes of a sequence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Uuid,
    any_,
    delete,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert

from crud_api.mailboxes.repository import LIVE, SHOWN
from crud_api.paging import Page, Paging, read_page
from crud_api.tables import AnyRow, mailboxes, sequences_mailboxes


def read(connection: Connection, sequence_id: int, paging: Paging) -> Page[AnyRow]:
    """Read the live mailboxes of a sequence."""
    statement = (
        select(*SHOWN)
        .join(sequences_mailboxes, sequences_mailboxes.c.mailbox_id == mailboxes.c.id)
        .where(sequences_mailboxes.c.sequence_id == sequence_id, LIVE)
    )
    link = tuple_(sequences_mailboxes.c.sequence_id, sequences_mailboxes.c.mailbox_id)

    def page_start(after: int) -> ColumnElement[bool]:
        return link > tuple_(literal(sequence_id, BigInteger), literal(after, BigInteger))

    return read_page(connection, statement, paging, key=mailboxes.c.id, page_start=page_start)


def find_mailboxes(connection: Connection, ids: Collection[UUID]) -> Sequence[AnyRow]:
    """Return the live mailboxes with these ids, in order of creation."""
    requested = mailboxes.c.external_id == any_(literal(list(ids), ARRAY(Uuid)))
    statement = select(*SHOWN).where(requested, LIVE).order_by(mailboxes.c.id)
    return connection.execute(statement).all()


def assign(connection: Connection, sequence_id: int, mailbox_ids: Collection[int]) -> None:
    pairs = select(literal(sequence_id), func.unnest(literal(list(mailbox_ids), ARRAY(BigInteger))))
    link = insert(sequences_mailboxes).from_select(["sequence_id", "mailbox_id"], pairs)
    connection.execute(link.on_conflict_do_nothing())


def withdraw(connection: Connection, sequence_id: int, ids: Collection[UUID]) -> None:
    requested = select(mailboxes.c.id).where(mailboxes.c.external_id == any_(literal(list(ids), ARRAY(Uuid))))
    connection.execute(
        delete(sequences_mailboxes).where(
            sequences_mailboxes.c.sequence_id == sequence_id, sequences_mailboxes.c.mailbox_id.in_(requested)
        )
    )
