"""The statements of the ledger. Each finds the rows of one page by a key, and joins only those.

A view of the ledger is two lists in one order: the sends, and who is due and waits for a place.
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
from sequence_store.domain.states import REUSABLE, EnrolmentStatus

Statement = Select[Any]
enrolment = sequences_contacts.c


def _archived(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the archive's column of that name, or what stands for one that it does not keep."""
    if column.name in archived_sends.c:
        return archived_sends.c[column.name]
    return cast(null(), column.type).label(column.name)


# What was mailed long ago is told like the rest.
ledger = union_all(select(sends), select(*(_archived(column) for column in sends.c))).subquery("ledger")
SEND_AT_EPOCH = cast(func.extract("epoch", ledger.c.send_at), BigInteger)


def _waiting(enrolled: FromClause) -> Statement:
    """Select what is shown of a deferral and of its enrolment."""
    shown = ("sequence_id", "contact_id", "round", "current_step", "mailbox_id")
    return select(
        *(enrolled.c[name] for name in shown),
        enrolled.c.next_send.label("due_day"),
        plan_deferrals.c.plan_day,
        plan_deferrals.c.reason,
    )


_SENDS = select(ledger, SEND_AT_EPOCH.label("epoch"))
_DEFERRED = and_(
    enrolment.sequence_id == plan_deferrals.c.sequence_id,
    enrolment.contact_id == plan_deferrals.c.contact_id,
    enrolment.status == EnrolmentStatus.ACTIVE,
)
# Of a sequence's deferrals each looks up its enrolment: the limit keeps Postgres from joining all of both first.
_ENROLLED = select(sequences_contacts).where(_DEFERRED).correlate(plan_deferrals).limit(1).lateral("enrolled")
_WAITING_OF_SEQUENCE = _waiting(_ENROLLED).select_from(plan_deferrals).join(_ENROLLED, true())
_WAITING_OF_CONTACT = (
    _waiting(sequences_contacts).select_from(plan_deferrals).join(sequences_contacts, _DEFERRED)
)


def sends_of_contact(contact_id: int) -> Statement:
    """Select through the enrolments, whose index by contact leads to the ledger's key."""
    through = and_(ledger.c.sequence_id == enrolment.sequence_id, ledger.c.contact_id == enrolment.contact_id)
    return _SENDS.join(sequences_contacts, through).where(enrolment.contact_id == contact_id)


def waiting_of_contact(contact_id: int) -> Statement:
    live = and_(sequences.c.id == enrolment.sequence_id, sequences.c.deleted_at.is_(None))
    return _WAITING_OF_CONTACT.join(sequences, live).where(enrolment.contact_id == contact_id)


def sends_of_sequence(sequence_id: int, contact_id: int | None) -> Statement:
    statement = _SENDS.where(ledger.c.sequence_id == sequence_id)
    return statement if contact_id is None else statement.where(ledger.c.contact_id == contact_id)


def waiting_of_sequence(sequence_id: int, contact_id: int | None) -> Statement:
    live = select(1).where(sequences.c.id == sequence_id, sequences.c.deleted_at.is_(None)).exists()
    statement = _WAITING_OF_SEQUENCE.where(plan_deferrals.c.sequence_id == sequence_id, live)
    return statement if contact_id is None else statement.where(plan_deferrals.c.contact_id == contact_id)


def chosen(statement: Statement, wanted: bool) -> Statement:  # noqa: FBT001
    return statement if wanted else statement.where(false())


def after(
    statement: Statement, columns: Sequence[Any], values: Sequence[int] | None, *, backwards: bool = False
) -> Statement:
    """Select in the order of `columns`, and where `values` are given only what comes after them."""
    ordered = statement.order_by(*(column.desc() if backwards else column for column in columns))
    if values is None:
        return ordered
    key, start = tuple_(*columns), tuple_(*(literal(value, BigInteger) for value in values))
    return ordered.where(key < start if backwards else key > start)


def waiting_after(statement: Statement, key: str, value: int | None, *, backwards: bool = False) -> Statement:
    """Do the same for who waits, by a column of the deferrals."""
    return after(statement, [plan_deferrals.c[key]], None if value is None else [value], backwards=backwards)


def read_sends(connection: Connection, statement: Statement) -> Sequence[AnyRow]:
    """Read the sends that `statement` selects, with the public ids of all that they name."""
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
    )
    joined = _joined(shown, page).outerjoin(steps, steps.c.id == page.c.step_id)
    return connection.execute(joined).all()


def read_waiting(connection: Connection, statement: Statement) -> Sequence[AnyRow]:
    """Read the waiting enrolments that `statement` selects, with the step that is due."""
    page = statement.subquery("page")
    due = _due_step(page)
    shown = select(
        literal(WAITING).label("status"),
        *(page.c.round, page.c.reason, page.c.due_day, page.c.plan_day),
        *_public_ids(),
        due.c.external_id.label("step_id"),
        due.c.step_number,
        page.c.sequence_id.label("sequence_key"),
        page.c.contact_id.label("contact_key"),
    )
    return connection.execute(_joined(shown, page).outerjoin(due, true())).all()


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
    """Return the lowest live step at or above the current one whose send is absent or open."""
    spent_or_live = (
        select(1)
        .where(
            sends.c.sequence_id == page.c.sequence_id,
            sends.c.contact_id == page.c.contact_id,
            sends.c.step_id == steps.c.id,
            sends.c.round == page.c.round,
            sends.c.status.not_in(REUSABLE),
        )
        .correlate(page, steps)
        .exists()
    )
    return (
        select(steps.c.external_id, steps.c.step_number)
        .where(
            steps.c.sequence_id == page.c.sequence_id,
            steps.c.step_number >= page.c.current_step,
            steps.c.deleted_at.is_(None),
            ~spent_or_live,
        )
        .order_by(steps.c.step_number)
        .limit(1)
        .lateral("due")
    )
