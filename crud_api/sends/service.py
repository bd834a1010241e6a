"""Lists past and planned sends of a contact or a sequence, and due steps that wait for a slot."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crud_api.contacts.service import internal_id_with_deleted as contact_id_of
from crud_api.paging import COUNT_LIMIT, Key, Page, Paging, count, page_of
from crud_api.sends import repository
from crud_api.sends.schemas import WAITING, ContactSendQuery, Send, SequenceSendQuery
from crud_api.sequences.service import internal_id_with_deleted as sequence_id_of
from crud_api.tables import AnyRow
from sequence_store.domain.states import ClosedGate, SendStatus

CHRONOLOGICAL = (
    repository.SEND_AT_EPOCH,
    repository.all_sends.c.sequence_id,
    repository.all_sends.c.step_id,
    repository.all_sends.c.round,
)
# Gates that people or time can open again; behind the others a send is over.
OPENS_AGAIN = frozenset(
    {
        ClosedGate.ENROLMENT_PAUSED,
        ClosedGate.CONTACT_INACTIVE,
        ClosedGate.SEQUENCE_INACTIVE,
        ClosedGate.MAILBOX_INACTIVE,
        ClosedGate.MAILBOX_PARKED,
        ClosedGate.ALL_PAUSED,
    }
)
BY_CONTACT = (repository.all_sends.c.contact_id, repository.all_sends.c.step_id, repository.all_sends.c.round)


def of_contact(connection: Connection, contact: UUID, query: ContactSendQuery, pads: bytes) -> Page[Send]:
    """Return one page of the sends of a contact, in order of time, followed by its waiting steps."""
    contact_id = contact_id_of(connection, contact)
    cursor, most = query.cursor, query.offset + query.size + 1
    selected_sends = repository.only_if(query.waiting is not True, repository.sends_of_contact(contact_id))
    waiting = repository.only_if(query.waiting is not False, repository.waiting_of_contact(contact_id))
    backwards = query.sort.startswith("-")
    sent: Iterable[AnyRow] = ()
    waits: Iterable[AnyRow] = ()
    # The first number of the cursor says if it points to a send or to a waiting step. All rows of the other
    # kind come either before the cursor, and are skipped, or after it.
    of_send, of_waiting = _split_cursor(cursor)
    if of_waiting is None or backwards:
        start = repository.after(selected_sends, CHRONOLOGICAL, of_send, backwards=backwards)
        sent = repository.read_sends(connection, start.limit(most), pads)
    if of_send is None or not backwards:
        start = repository.waiting_after(waiting, "sequence_id", of_waiting, backwards=backwards)
        waits = repository.read_waiting(connection, start.limit(most))
    total = _sum(count(connection, selected_sends, query), count(connection, waiting, query))
    return _page(sent, waits, query, total=total, key=_chronological, backwards=backwards)


def of_sequence(connection: Connection, sequence: UUID, query: SequenceSendQuery, pads: bytes) -> Page[Send]:
    """Return one page of the sends of a sequence and its waiting steps, grouped by contact."""
    sequence_id = sequence_id_of(connection, sequence)
    contact_id = None if query.contact_id is None else contact_id_of(connection, query.contact_id)
    cursor, most = query.cursor, query.offset + query.size + 1
    selected_sends = repository.only_if(
        query.waiting is not True, repository.sends_of_sequence(sequence_id, contact_id)
    )
    waiting = repository.only_if(
        query.waiting is not False, repository.waiting_of_sequence(sequence_id, contact_id)
    )
    # The waiting step of a contact comes after its sends. The second number of the cursor is 1 for it.
    start = repository.after(selected_sends, BY_CONTACT, cursor and _after_contact(cursor))
    sent = repository.read_sends(connection, start.limit(most), pads)
    last_contact = cursor[0] - (cursor[1] == 0) if cursor else None
    start = repository.waiting_after(waiting, "contact_id", last_contact)
    waits = repository.read_waiting(connection, start.limit(most))
    total = _sum(count(connection, selected_sends, query), count(connection, waiting, query))
    return _page(sent, waits, query, total=total, key=_by_contact)


def _split_cursor(cursor: Key | None) -> tuple[Key | None, int | None]:
    """Return the key of the send in a cursor, or the sequence id of the waiting step in it."""
    if cursor is None:
        return None, None
    return (None, cursor[2]) if cursor[0] else (cursor[1:], None)


def _after_contact(cursor: Key) -> Key:
    contact_id, waiting, step_id, round_ = cursor
    return (contact_id + 1, 0, 0) if waiting else (contact_id, step_id, round_)


def _page(
    sent: Iterable[AnyRow],
    waits: Iterable[AnyRow],
    paging: Paging,
    *,
    total: int | None,
    key: Any,
    backwards: bool = False,
) -> Page[Send]:
    ordered = (sorted(rows, key=key, reverse=backwards) for rows in (sent, waits))
    both = merge(*ordered, key=key, reverse=backwards)
    rows = list(islice(both, paging.offset, paging.offset + paging.size + 1))
    page = page_of(rows, paging, total=total, key=key)
    return page.with_items([_shown(row) for row in page.items])


def _shown(row: AnyRow) -> Send:
    """Return the send as it stands: one that a closed gate will stop is not shown as planned.

    The worker or the next plan stores that when the time comes; until then the gate may open again.
    """
    gate = None if row.status == WAITING else row.gate
    if gate is None:
        return Send.of(row)
    opens_again = gate in OPENS_AGAIN and not row.sequence_deleted
    return Send.of(row, status=WAITING if opens_again else SendStatus.CANCELLED, reason=gate)


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
    return together if len(known) == len(counts) and together <= COUNT_LIMIT else None
