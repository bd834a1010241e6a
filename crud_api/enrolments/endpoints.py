"""Routes of the contacts of a sequence."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.answers import IfMatch, shown
from crud_api.dependencies import Settings, Store, Today
from crud_api.enrolments import service
from crud_api.enrolments.schemas import (
    ContactIds,
    Enrolment,
    EnrolmentChange,
    EnrolmentQuery,
    EnrolmentReport,
)
from crud_api.idempotency import Once
from crud_api.json_body import JsonRoute
from crud_api.openapi import answers
from sequence_store.domain.states import EnrolmentStatus

router = APIRouter(prefix="/sequences/{sequence_id}/contacts", tags=["enrolments"], route_class=JsonRoute)


@router.get(
    "", summary="List the contacts of a sequence", response_model=list[Enrolment], responses=answers(404)
)
def list_enrolments(sequence_id: UUID, query: Annotated[EnrolmentQuery, Query()], store: Store) -> Response:
    """In the order of the contacts' creation."""
    with store.reading() as connection:
        return service.read(connection, sequence_id, query).shown()


@router.post(
    "",
    status_code=201,
    summary="Enrol contacts",
    response_model=EnrolmentReport,
    responses=answers(404, 409, 413),
)
def enrol_contacts(
    sequence_id: UUID, body: ContactIds, once: Once, settings: Settings, today: Today
) -> Response:
    """Enrol one or thousands. Who has ended starts anew at the first step; the others' refusals say why.

    The first step is due on the current planning day plus its `delayDays`; after today's plan it waits for the
    next one.
    """
    return once.answer(
        lambda connection: service.enrol(
            connection, sequence_id, body.contact_ids, today=today, pads=settings.address_pads
        )
    )


@router.delete("", status_code=204, summary="Remove contacts", responses=answers(404, 413))
def remove_contacts(sequence_id: UUID, body: ContactIds, store: Store) -> None:
    """Remove one or thousands; who is not in the sequence stays out of it."""
    with store.transaction() as connection:
        service.remove_all(connection, sequence_id, body.contact_ids)


@router.get("/{contact_id}", summary="Get an enrolment", response_model=Enrolment, responses=answers(404))
def get_enrolment(sequence_id: UUID, contact_id: UUID, store: Store) -> Response:
    """Also one that has ended."""
    with store.reading() as connection:
        return shown(service.find(connection, sequence_id, contact_id))


@router.patch(
    "/{contact_id}",
    summary="Pause, resume or end an enrolment",
    response_model=Enrolment,
    responses=answers(404, 409, 412, 413),
)
def change_enrolment(
    sequence_id: UUID, contact_id: UUID, body: EnrolmentChange, store: Store, today: Today, match: IfMatch
) -> Response:
    """`paused` holds it, `active` resumes it, `replied` ends it. One that has ended never reopens."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, sequence_id, contact_id, lock=True))
        changed = service.change(
            connection, sequence_id, contact_id, EnrolmentStatus(body.status), today=today
        )
        return shown(changed)


@router.delete("/{contact_id}", status_code=204, summary="Remove a contact", responses=answers(404))
def remove_contact(sequence_id: UUID, contact_id: UUID, store: Store) -> None:
    """Mail it nothing more of the sequence; enrolling it again starts anew."""
    with store.transaction() as connection:
        service.remove(connection, sequence_id, contact_id)
