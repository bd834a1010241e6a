"""Who is in a sequence, and how an enrolment may change."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
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

ALREADY = "is in the sequence already"

# A reply may come to the last mail, when the enrolment is completed; it opens nothing.
BEFORE = {
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
    connection: Connection, sequence: UUID, asked: Collection[UUID], *, today: date, pads: bytes
) -> EnrolmentReport:
    """Enrol whom nothing forbids, from the planning day `today` on; say why the others are refused."""
    sequence_id = sequence_id_of(connection, sequence)
    first_step = steps.first(connection, sequence_id)
    if first_step is None:
        raise ConflictError("The sequence has no steps: add one before enrolling contacts.")
    candidates = {row.external_id: row for row in repository.candidates(connection, sequence_id, asked, pads)}
    refused = {contact: _objection(candidates.get(contact)) for contact in asked}
    wanted = {candidates[contact].id: contact for contact, objection in refused.items() if objection is None}
    enrolled = repository.enrol(
        connection, sequence_id, wanted, today + timedelta(days=first_step.delay_days)
    )
    refused.update({contact: ALREADY for row_id, contact in wanted.items() if row_id not in enrolled})
    refusals = [Refusal(contact_id=contact, message=why) for contact, why in refused.items() if why]
    return EnrolmentReport(enrolled=len(enrolled), refused=refusals)


def find(connection: Connection, sequence: UUID, contact: UUID, *, lock: bool = False) -> Enrolment:
    sequence_id = sequence_id_of(connection, sequence)
    contact_id_of(connection, contact)
    return Enrolment.of(_found(repository.find(connection, sequence_id, contact, lock=lock)))


def change(
    connection: Connection, sequence: UUID, contact: UUID, status: EnrolmentStatus, *, today: date
) -> Enrolment:
    """Pause, resume or end an enrolment; raise ConflictError where it has ended."""
    sequence_id = sequence_id_of(connection, sequence)
    contact_id = contact_id_of(connection, contact)
    expected = BEFORE[status]
    values = _values(status, today)
    changed = repository.change(connection, sequence_id, contact_id, expected=expected, values=values)
    now = _found(repository.find(connection, sequence_id, contact))
    if not changed:
        raise ConflictError(
            f"status: the enrolment is {now.status}, which is final; enrol the contact again to start anew"
        )
    return Enrolment.of(now)


def remove(connection: Connection, sequence: UUID, contact: UUID) -> None:
    """End the enrolment, whatever it is; what is planned of it is stopped by the gates of a send."""
    sequence_id = sequence_id_of(connection, sequence)
    if not repository.remove(connection, sequence_id, [contact_id_of(connection, contact)]):
        raise _not_enrolled()


def remove_all(connection: Connection, sequence: UUID, asked: Collection[UUID]) -> None:
    """End the enrolments of all these contacts; who is not in the sequence stays out of it."""
    sequence_id = sequence_id_of(connection, sequence)
    repository.remove(connection, sequence_id, contacts.find_ids(connection, asked))


def _values(status: EnrolmentStatus, today: date) -> dict[str, Any]:
    values: dict[str, Any] = {"status": status, "status_reason": None}
    if status is EnrolmentStatus.ACTIVE:
        values["next_send"] = func.coalesce(sequences_contacts.c.next_send, today)
    elif status is EnrolmentStatus.REPLIED:
        values["next_send"] = None
    return values


def _objection(candidate: AnyRow | None) -> str | None:
    """Return why a contact cannot be enrolled; None where nothing forbids it."""
    if candidate is None:
        return "is no contact"
    if candidate.status in repository.ENROLLED:
        return ALREADY
    if candidate.suppressed:
        return "is suppressed: its address must not be mailed"
    if not candidate.is_active:
        return "is inactive"
    return None


def _found(row: AnyRow | None) -> AnyRow:
    if row is None:
        raise _not_enrolled()
    return row


def _not_enrolled() -> NotFoundError:
    return NotFoundError("The contact is not in the sequence.")
