"""Reads past and planned sends. Each statement finds the rows of one page by a key, and joins only those.

A history merges two lists in the same order: the sends, and the enrolments that are due and wait for a slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    null,
    select,
    true,
    tuple_,
    union_all,
)

from crud_api.sends.schemas import WAITING
from crud_api.tables import (
    AnyRow,
    archived_sends,
    contacts,
    mailboxes,
    plan_deferrals,
    sends,
    sequences,
    sequences_contacts,
    steps,
)
from sequence_store.domain.states import ClosedGate, EnrolmentStatus, SendStatus

Statement = Select[Any]
enrolment = sequences_contacts.c
NOT_STARTED = (SendStatus.PLANNED, SendStatus.DISPATCHED, SendStatus.CLAIMED)


def _archived(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the column of the archive with the same name, or NULL if the archive does not have it."""
    if column.name in archived_sends.c:
        return archived_sends.c[column.name]
    return cast(null(), column.type).label(column.name)


# Archived sends are listed like the others.
all_sends = union_all(select(sends), select(*(_archived(column) for column in sends.c))).subquery("all_sends")
SEND_AT_EPOCH = cast(func.extract("epoch", all_sends.c.send_at), BigInteger)


def _waiting(enrolled: FromClause) -> Statement:
    """Select the columns of a deferral and of its enrolment that the API returns."""
    shown = ("sequence_id", "contact_id", "round", "current_step", "mailbox_id", "status")
    return select(
        *(enrolled.c[name] for name in shown),
        enrolled.c.next_send.label("due_day"),
        plan_deferrals.c.plan_day,
        plan_deferrals.c.reason,
    )


_SENDS = select(all_sends, SEND_AT_EPOCH.label("epoch"))
_DEFERRED = and_(
    enrolment.sequence_id == plan_deferrals.c.sequence_id,
    enrolment.contact_id == plan_deferrals.c.contact_id,
    enrolment.status.in_((EnrolmentStatus.ACTIVE, EnrolmentStatus.PAUSED)),
)
# Each deferral of a sequence looks up its enrolment. LIMIT keeps Postgres from joining both tables first.
_ENROLLED = select(sequences_contacts).where(_DEFERRED).correlate(plan_deferrals).limit(1).lateral("enrolled")
_WAITING_OF_SEQUENCE = _waiting(_ENROLLED).select_from(plan_deferrals).join(_ENROLLED, true())
_WAITING_OF_CONTACT = (
    _waiting(sequences_contacts).select_from(plan_deferrals).join(sequences_contacts, _DEFERRED)
)


def sends_of_contact(contact_id: int) -> Statement:
    """Select the sends of a contact through its enrolments, whose index by contact gives the key."""
    same_enrolment = and_(
        all_sends.c.sequence_id == enrolment.sequence_id, all_sends.c.contact_id == enrolment.contact_id
    )
    return _SENDS.join(sequences_contacts, same_enrolment).where(enrolment.contact_id == contact_id)


def waiting_of_contact(contact_id: int) -> Statement:
    live = and_(sequences.c.id == enrolment.sequence_id, sequences.c.deleted_at.is_(None))
    return _WAITING_OF_CONTACT.join(sequences, live).where(enrolment.contact_id == contact_id)


def sends_of_sequence(sequence_id: int, contact_id: int | None) -> Statement:
    statement = _SENDS.where(all_sends.c.sequence_id == sequence_id)
    return statement if contact_id is None else statement.where(all_sends.c.contact_id == contact_id)


def waiting_of_sequence(sequence_id: int, contact_id: int | None) -> Statement:
    live = select(1).where(sequences.c.id == sequence_id, sequences.c.deleted_at.is_(None)).exists()
    statement = _WAITING_OF_SEQUENCE.where(plan_deferrals.c.sequence_id == sequence_id, live)
    return statement if contact_id is None else statement.where(plan_deferrals.c.contact_id == contact_id)


def only_if(condition: bool, statement: Statement) -> Statement:  # noqa: FBT001
    """Return the statement, or one that selects no rows if `condition` is false."""
    return statement if condition else statement.where(false())


def after(
    statement: Statement, columns: Sequence[Any], values: Sequence[int] | None, *, backwards: bool = False
) -> Statement:
    """Order by `columns`; if `values` are given, select only the rows after them."""
    ordered = statement.order_by(*(column.desc() if backwards else column for column in columns))
    if values is None:
        return ordered
    key, start = tuple_(*columns), tuple_(*(literal(value, BigInteger) for value in values))
    return ordered.where(key < start if backwards else key > start)


def waiting_after(statement: Statement, key: str, value: int | None, *, backwards: bool = False) -> Statement:
    """Do the same for waiting enrolments, by one column of the deferrals."""
    return after(statement, [plan_deferrals.c[key]], None if value is None else [value], backwards=backwards)


def read_sends(connection: Connection, statement: Statement, pads: bytes) -> Sequence[AnyRow]:
    """Read the sends that `statement` selects, with the public ids of the records they refer to.

    `gate` is the closed gate that would stop a send which has not started, if there is one.
    """
    page = statement.subquery("page")
    names = {"sequence_id", "contact_id", "step_id", "mailbox_id"}
    shown = select(
        *(column for column in page.c if column.name not in names),
        *_public_ids(),
        steps.c.external_id.label("step_id"),
        steps.c.step_number,
        page.c.sequence_id.label("sequence_key"),
        page.c.contact_id.label("contact_key"),
        page.c.step_id.label("step_key"),
        _gate(page, pads).label("gate"),
        sequences.c.deleted_at.is_not(None).label("sequence_deleted"),
    )
    joined = _joined(shown, page).outerjoin(steps, steps.c.id == page.c.step_id)
    return connection.execute(joined).all()


def read_waiting(connection: Connection, statement: Statement) -> Sequence[AnyRow]:
    """Read the waiting enrolments that `statement` selects, with the step that is due."""
    page = statement.subquery("page")
    due = _due_step(page)
    shown = select(
        literal(WAITING).label("status"),
        *(page.c.round, page.c.due_day, page.c.plan_day),
        # What stops the contact now comes before the reason of the latest plan, which may be hours old.
        case(
            (page.c.status == EnrolmentStatus.PAUSED, ClosedGate.ENROLMENT_PAUSED),
            (contacts.c.is_active.is_(False), ClosedGate.CONTACT_INACTIVE),
            (sequences.c.is_active.is_(False), ClosedGate.SEQUENCE_INACTIVE),
            else_=page.c.reason,
        ).label("reason"),
        *_public_ids(),
        due.c.external_id.label("step_id"),
        due.c.step_number,
        page.c.sequence_id.label("sequence_key"),
        page.c.contact_id.label("contact_key"),
    )
    return connection.execute(_joined(shown, page).outerjoin(due, true())).all()


def _gate(page: Any, pads: bytes) -> ColumnElement[Any]:
    """Return the closed gate of each send of the page that has not started."""
    row = select(sends.table_valued()).where(
        *(sends.c[name] == page.c[name] for name in ("sequence_id", "contact_id", "step_id", "round"))
    )
    gate = row.with_only_columns(func.closed_gate(sends.table_valued(), literal(pads)))
    return case((page.c.status.in_(NOT_STARTED), gate.scalar_subquery()), else_=None)


def _public_ids() -> tuple[Any, ...]:
    return (
        sequences.c.external_id.label("sequence_id"),
        contacts.c.external_id.label("contact_id"),
        mailboxes.c.external_id.label("mailbox_id"),
    )


def _joined(shown: Statement, page: Any) -> Statement:
    return (
        shown.select_from(page)
        .join(sequences, sequences.c.id == page.c.sequence_id)
        .join(contacts, contacts.c.id == page.c.contact_id)
        .outerjoin(mailboxes, mailboxes.c.id == page.c.mailbox_id)
    )


def _due_step(page: Any) -> Any:
    """Return the next step of each enrolment of the page that was not mailed: external_id, step_number."""
    return (
        func.next_unmailed_step(page.c.sequence_id, page.c.contact_id, page.c.round, page.c.current_step)
        .table_valued("external_id", "step_number")
        .lateral("due")
    )
