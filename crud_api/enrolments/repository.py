"""Reads and writes enrolments, with one statement per request however many contacts it names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Text,
    Uuid,
    and_,
    any_,
    func,
    literal,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from crud_api.enrolments.schemas import EnrolmentQuery
from crud_api.paging import Page, count, page_of
from crud_api.tables import AnyRow, contacts, in_force, mailboxes, sequences_contacts, suppressions
from sequence_store.domain.states import EnrolmentStatus

ENROLLED = (EnrolmentStatus.ACTIVE, EnrolmentStatus.PAUSED)
LISTED = tuple(status for status in EnrolmentStatus if status is not EnrolmentStatus.REMOVED)

enrolment = sequences_contacts.c
SHOWN = (
    enrolment.contact_id.label("row_key"),
    contacts.c.external_id.label("contact_id"),
    enrolment.status,
    enrolment.status_reason,
    enrolment.round,
    enrolment.current_step,
    enrolment.next_send,
    enrolment.last_send,
    mailboxes.c.external_id.label("mailbox_id"),
)
_shown = (
    select(*SHOWN)
    .select_from(sequences_contacts)
    .join(contacts, contacts.c.id == enrolment.contact_id)
    .outerjoin(mailboxes, mailboxes.c.id == enrolment.mailbox_id)
)


def read(connection: Connection, sequence_id: int, query: EnrolmentQuery) -> Page[AnyRow]:
    """Read one page of enrolments, in order of contact id.

    The statement reads a page of each status from the index (sequence_id, status, contact_id) and merges
    them, so that it never reads enrolments with other statuses. It compares with the whole key of that index;
    otherwise Postgres may scan another index that has the same order.
    """
    statuses = literal(LISTED if query.status is None else (query.status,), ARRAY(Text))
    of_sequence = enrolment.sequence_id == sequence_id
    after = -1 if query.cursor is None else query.cursor[0]
    wanted = func.unnest(statuses).table_valued("status", name="wanted").render_derived()
    start = tuple_(literal(sequence_id, BigInteger), wanted.c.status, literal(after, BigInteger))
    of_status = select(enrolment.contact_id).where(
        of_sequence,
        enrolment.status == wanted.c.status,
        tuple_(enrolment.sequence_id, enrolment.status, enrolment.contact_id) > start,
    )
    nearest = of_status.order_by(enrolment.contact_id).limit(query.offset + query.size + 1).lateral("nearest")
    page = select(nearest.c.contact_id).select_from(wanted).join(nearest, true())
    keys = page.order_by(nearest.c.contact_id).limit(query.size + 1).offset(query.offset)
    rows = _shown.where(of_sequence, enrolment.contact_id.in_(keys)).order_by(enrolment.contact_id)
    all_of_them = select(enrolment.contact_id).where(of_sequence, enrolment.status == any_(statuses))
    return page_of(
        connection.execute(rows).all(),
        query,
        total=count(connection, all_of_them, query),
        key=lambda row: (row.row_key,),
    )


def find(connection: Connection, sequence_id: int, contact: UUID, *, lock: bool = False) -> AnyRow | None:
    statement = _shown.where(enrolment.sequence_id == sequence_id, contacts.c.external_id == contact)
    locked = statement.with_for_update(of=sequences_contacts) if lock else statement
    return connection.execute(locked).first()


def candidates(
    connection: Connection, sequence_id: int, ids: Collection[UUID], pads: bytes
) -> Sequence[AnyRow]:
    """Return the live contacts with these ids, and the columns that decide if they can be enrolled."""
    suppressed = (
        select(1)
        .where(
            suppressions.c.address_hmac.in_(
                [func.address_hmac(contacts.c.mail_address, literal(pads)), contacts.c.address_hmac]
            ),
            in_force(),
        )
        .exists()
    )
    statement = (
        select(
            contacts.c.id,
            contacts.c.external_id,
            contacts.c.is_active,
            enrolment.status,
            contacts.c.replied_at,
        )
        .add_columns(suppressed.label("suppressed"))
        .outerjoin(
            sequences_contacts,
            and_(enrolment.contact_id == contacts.c.id, enrolment.sequence_id == sequence_id),
        )
        .where(
            contacts.c.external_id == any_(literal(list(ids), ARRAY(Uuid))), contacts.c.deleted_at.is_(None)
        )
    )
    return connection.execute(statement).all()


def enrol(
    connection: Connection, sequence_id: int, contact_ids: Collection[int], next_send: date
) -> set[int]:
    """Enrol contacts; return the internal ids of those enrolled.

    Contacts whose enrolment has ended start a new round. Contacts that are enrolled already stay unchanged.
    """
    requested = func.unnest(literal(sorted(contact_ids), ARRAY(BigInteger))).column_valued("requested")
    rows = select(literal(sequence_id), requested, literal(next_send), func.clock_timestamp())
    names = ["sequence_id", "contact_id", "next_send", "enrolled_at"]
    fresh = insert(sequences_contacts).from_select(names, rows)
    anew = fresh.on_conflict_do_update(
        index_elements=["sequence_id", "contact_id"],
        set_={
            "round": enrolment.round + 1,
            "status": EnrolmentStatus.ACTIVE,
            "status_reason": None,
            "current_step": 1,
            "next_send": fresh.excluded.next_send,
            "last_send": None,
            "mailbox_id": None,
            "thread_round": None,
            "enrolled_at": func.clock_timestamp(),
        },
        where=enrolment.status.not_in(ENROLLED),
    )
    return set(connection.execute(anew.returning(enrolment.contact_id)).scalars())


def change(
    connection: Connection,
    sequence_id: int,
    contact_id: int,
    *,
    expected: Collection[EnrolmentStatus],
    values: Mapping[str, Any],
) -> bool:
    """Change an enrolment if its status is one of `expected`; return whether it was changed."""
    statement = update(sequences_contacts).where(
        enrolment.sequence_id == sequence_id,
        enrolment.contact_id == contact_id,
        enrolment.status.in_(expected),
    )
    return connection.execute(statement.values(**values)).rowcount > 0


def report_reply(connection: Connection, sequence_id: int, contact_id: int, company_most: int) -> None:
    """Stop whom a reply to this sequence stops."""
    connection.execute(select(func.report_reply(sequence_id, contact_id, company_most)))


def resume(connection: Connection, sequence_id: int, contact_id: int, today: date, pads: bytes) -> str:
    """Undo a stop by a reply; return `resumed`, or why it cannot be undone."""
    resumed = func.resume_enrolment(sequence_id, contact_id, today, "api", literal(pads))
    return str(connection.execute(select(resumed)).scalar_one())


def remove(connection: Connection, sequence_id: int, contact_ids: Collection[int]) -> int:
    """End the enrolments of these contacts, whatever their status; return the number of enrolments."""
    statement = update(sequences_contacts).where(
        enrolment.sequence_id == sequence_id,
        enrolment.contact_id == any_(literal(list(contact_ids), ARRAY(BigInteger))),
    )
    return connection.execute(statement.values(**_removed(reason=None))).rowcount


def remove_from_all(connection: Connection, contact_id: int, *, reason: str) -> None:
    """End all active and paused enrolments of a contact."""
    statement = update(sequences_contacts).where(
        enrolment.contact_id == contact_id, enrolment.status.in_(ENROLLED)
    )
    connection.execute(statement.values(**_removed(reason=reason)))


def _removed(*, reason: str | None) -> dict[str, Any]:
    return {"status": EnrolmentStatus.REMOVED, "status_reason": reason, "next_send": None}
