"""The history and the future of a contact and of a sequence: the ledger, and who waits for a place."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crud_api.contacts.service import internal_id_ever as contact_id_of
from crud_api.paging import COUNTED_UP_TO, Key, Page, Paging, count, page_of
from crud_api.sends import repository
from crud_api.sends.schemas import WAITING, Send, SendQuery, SequenceSendQuery
from crud_api.sequences.service import internal_id_ever as sequence_id_of
from crud_api.tables import AnyRow, sends

CHRONOLOGICAL = (repository.SEND_AT_EPOCH, sends.c.sequence_id, sends.c.step_id, sends.c.round)
BY_CONTACT = (sends.c.contact_id, sends.c.step_id, sends.c.round)


def of_contact(connection: Connection, contact: UUID, query: SendQuery) -> Page[Send]:
    """Return what the contact was and will be sent, by time; last, where it is due and waits."""
    contact_id = contact_id_of(connection, contact)
    cursor, most = query.cursor, query.offset + query.size + 1
    some_sends = repository.chosen(repository.sends_of_contact(contact_id), query.waiting is not True)
    waiting = repository.chosen(repository.waiting_of_contact(contact_id), query.waiting is not False)
    behind = cursor[2] if cursor and cursor[0] else None
    sent: Iterable[AnyRow] = ()
    if behind is None:
        start = repository.after(some_sends, CHRONOLOGICAL, cursor and cursor[1:])
        sent = repository.read_sends(connection, start.limit(most))
    start = repository.waiting_after(waiting, "sequence_id", behind)
    waits = repository.read_waiting(connection, start.limit(most))
    total = _sum(count(connection, some_sends, query), count(connection, waiting, query))
    return _page(sent, waits, query, total=total, key=_chronological)


def of_sequence(connection: Connection, sequence: UUID, query: SequenceSendQuery) -> Page[Send]:
    """Return what the sequence's contacts were and will be sent, and who waits, contact by contact."""
    sequence_id = sequence_id_of(connection, sequence)
    contact_id = None if query.contact_id is None else contact_id_of(connection, query.contact_id)
    cursor, most = query.cursor, query.offset + query.size + 1
    some_sends = repository.chosen(
        repository.sends_of_sequence(sequence_id, contact_id), query.waiting is not True
    )
    waiting = repository.chosen(
        repository.waiting_of_sequence(sequence_id, contact_id), query.waiting is not False
    )
    # A contact's waiting comes after its sends: the cursor's second number tells which of the two it names.
    start = repository.after(some_sends, BY_CONTACT, cursor and _after_contact(cursor))
    sent = repository.read_sends(connection, start.limit(most))
    behind = cursor[0] - (cursor[1] == 0) if cursor else None
    start = repository.waiting_after(waiting, "contact_id", behind)
    waits = repository.read_waiting(connection, start.limit(most))
    total = _sum(count(connection, some_sends, query), count(connection, waiting, query))
    return _page(sent, waits, query, total=total, key=_by_contact)


def _after_contact(cursor: Key) -> Key:
    contact_id, waiting, step_id, round_ = cursor
    return (contact_id + 1, 0, 0) if waiting else (contact_id, step_id, round_)


def _page(
    sent: Iterable[AnyRow], waits: Iterable[AnyRow], paging: Paging, *, total: int | None, key: Any
) -> Page[Send]:
    both = merge(sorted(sent, key=key), sorted(waits, key=key), key=key)
    rows = list(islice(both, paging.offset, paging.offset + paging.size + 1))
    page = page_of(rows, paging, total=total, key=key)
    return page.with_items([Send.of(row) for row in page.items])


def _chronological(row: AnyRow) -> Key:
    if row.status == WAITING:
        return (1, 0, row.sequence_key, 0, 0)
    return (0, row.epoch, row.sequence_key, row.step_key, row.round)


def _by_contact(row: AnyRow) -> Key:
    if row.status == WAITING:
        return (row.contact_key, 1, 0, 0)
    return (row.contact_key, 0, row.step_key, row.round)


def _sum(*counts: int | None) -> int | None:
    known = [number for number in counts if number is not None]
    together = sum(known)
    return together if len(known) == len(counts) and together <= COUNTED_UP_TO else None
