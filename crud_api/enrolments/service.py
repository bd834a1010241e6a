"""Enrols contacts in sequences, and pauses, resumes and ends enrolments."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func

from crud_api.contacts import repository as contacts
from crud_api.contacts.service import internal_id as contact_id_of
from crud_api.enrolments import repository
from crud_api.enrolments.schemas import Enrolment, EnrolmentQuery, EnrolmentReport, Refusal
from crud_api.errors import ConflictError, NotFoundError
from crud_api.paging import Page
from crud_api.sequences.service import internal_id as sequence_id_of
from crud_api.steps import repository as steps
from crud_api.tables import AnyRow, sequences_contacts
from sequence_store.domain.states import EnrolmentStatus

ALREADY_ENROLLED = "is already in the sequence"

# The statuses from which an enrolment may change to each status. A reply to the last mail may arrive when the
# enrolment is already completed; the enrolment stays closed.
ALLOWED_FROM = {
    EnrolmentStatus.PAUSED: (EnrolmentStatus.ACTIVE, EnrolmentStatus.PAUSED),
    EnrolmentStatus.ACTIVE: (EnrolmentStatus.ACTIVE, EnrolmentStatus.PAUSED),
    EnrolmentStatus.REPLIED: (
        EnrolmentStatus.ACTIVE,
        EnrolmentStatus.PAUSED,
        EnrolmentStatus.COMPLETED,
        EnrolmentStatus.REPLIED,
    ),
}


def read(connection: Connection, sequence: UUID, query: EnrolmentQuery) -> Page[Enrolment]:
    page = repository.read(connection, sequence_id_of(connection, sequence), query)
    return page.with_items([Enrolment.of(row) for row in page.items])


def enrol(
    connection: Connection,
    sequence: UUID,
    requested: Collection[UUID],
    *,
    today: date,
    pads: bytes,
    quiet_days: int,
) -> EnrolmentReport:
    """Enrol the contacts that can be enrolled, and return the reason for each of the others.

    The first step is due `delayDays` after the planning day `today`. Raise ConflictError if there are no
    steps.
    """
    sequence_id = sequence_id_of(connection, sequence)
    first_due = first_due_day(connection, sequence_id, today)
    rows = repository.candidates(connection, sequence_id, requested, pads)
    candidates = {row.external_id: row for row in rows}
    # Who names one contact knows that it replied.
    quiet = datetime.now(UTC) - timedelta(days=quiet_days) if len(set(requested)) > 1 else None
    reasons = {contact: _refusal_reason(candidates.get(contact), quiet) for contact in requested}
    allowed = {candidates[contact].id: contact for contact, reason in reasons.items() if reason is None}
    enrolled = repository.enrol(connection, sequence_id, allowed, first_due)
    # A concurrent request may have enrolled some of them since the candidates were read.
    reasons.update(
        {contact: ALREADY_ENROLLED for row_id, contact in allowed.items() if row_id not in enrolled}
    )
    refusals = [Refusal(contact_id=contact, message=reason) for contact, reason in reasons.items() if reason]
    return EnrolmentReport(enrolled=len(enrolled), refused=refusals)


def first_due_day(connection: Connection, sequence_id: int, today: date) -> date:
    """Return the day on which the first step is due for a contact enrolled on the planning day `today`.

    Raise ConflictError if the sequence has no steps.
    """
    first_step = steps.first(connection, sequence_id)
    if first_step is None:
        raise ConflictError("The sequence has no steps. Add a step before you enrol contacts.")
    return today + timedelta(days=first_step.delay_days)


def find(connection: Connection, sequence: UUID, contact: UUID, *, lock: bool = False) -> Enrolment:
    sequence_id = sequence_id_of(connection, sequence)
    contact_id_of(connection, contact)
    return Enrolment.of(_found(repository.find(connection, sequence_id, contact, lock=lock)))


def change(
    connection: Connection,
    sequence: UUID,
    contact: UUID,
    status: EnrolmentStatus,
    *,
    today: date,
    company_most: int,
) -> Enrolment:
    """Pause, resume or end an enrolment; raise ConflictError if it has already ended."""
    sequence_id = sequence_id_of(connection, sequence)
    contact_id = contact_id_of(connection, contact)
    expected = ALLOWED_FROM[status]
    before = _found(repository.find(connection, sequence_id, contact))
    if status is EnrolmentStatus.REPLIED:
        changed = before.status in expected
        if changed and before.status != EnrolmentStatus.REPLIED:
            repository.report_reply(connection, sequence_id, contact_id, company_most)
    else:
        values = _values(status, today)
        changed = repository.change(connection, sequence_id, contact_id, expected=expected, values=values)
    now = _found(repository.find(connection, sequence_id, contact))
    if not changed:
        raise ConflictError(
            f"status: the enrolment is {now.status}, which is final. Enrol the contact again to restart it."
        )
    return Enrolment.of(now)


NOT_RESUMED = {
    "not_stopped": "The enrolment was not ended by a reply.",
    "suppressed": "The address is suppressed: it must not be mailed.",
    "no_step_left": "The sequence has no step left for the contact. Enrol the contact again to restart it.",
}


def resume(connection: Connection, sequence: UUID, contact: UUID, *, today: date, pads: bytes) -> Enrolment:
    """Undo a stop by a reply; raise ConflictError if that is not possible."""
    sequence_id = sequence_id_of(connection, sequence)
    contact_id = contact_id_of(connection, contact)
    outcome = repository.resume(connection, sequence_id, contact_id, today, pads)
    if outcome == "absent":
        raise _not_enrolled()
    if outcome in NOT_RESUMED:
        raise ConflictError(NOT_RESUMED[outcome])
    return Enrolment.of(_found(repository.find(connection, sequence_id, contact)))


def remove(connection: Connection, sequence: UUID, contact: UUID) -> None:
    """End the enrolment, whatever its status. The checks before each send stop what is already planned."""
    sequence_id = sequence_id_of(connection, sequence)
    if not repository.remove(connection, sequence_id, [contact_id_of(connection, contact)]):
        raise _not_enrolled()


def remove_all(connection: Connection, sequence: UUID, requested: Collection[UUID]) -> None:
    """End the enrolments of these contacts; skip contacts that are not in the sequence."""
    sequence_id = sequence_id_of(connection, sequence)
    repository.remove(connection, sequence_id, contacts.find_ids(connection, requested))


def _values(status: EnrolmentStatus, today: date) -> dict[str, Any]:
    values: dict[str, Any] = {"status": status, "status_reason": None}
    if status is EnrolmentStatus.ACTIVE:
        values["next_send"] = func.coalesce(sequences_contacts.c.next_send, today)
    return values


def _refusal_reason(candidate: AnyRow | None, quiet: datetime | None) -> str | None:
    """Return the reason why a contact cannot be enrolled, or None if it can.

    `quiet` is the instant after which a reply keeps it out of lists; None: no list.
    """
    if candidate is None:
        return "does not exist"
    if candidate.status in repository.ENROLLED:
        return ALREADY_ENROLLED
    if candidate.suppressed:
        return "is suppressed: its address must not be mailed"
    if not candidate.is_active:
        return "is inactive"
    if quiet is not None and candidate.replied_at is not None and candidate.replied_at > quiet:
        return "not_enrolled: replied. Enrol it in a request of its own to mail it again"
    return None


def _found(row: AnyRow | None) -> AnyRow:
    if row is None:
        raise _not_enrolled()
    return row


def _not_enrolled() -> NotFoundError:
    return NotFoundError("The contact is not in the sequence.")
