"""Defines the routes for the contacts of a sequence."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.contacts import repository as contacts
from crud_api.dependencies import Settings, Store, Today
from crud_api.enrolments import service
from crud_api.enrolments.schemas import (
    ContactEnrolment,
    ContactEnrolmentQuery,
    ContactIds,
    ContactIdsQuery,
    Enrolment,
    EnrolmentChange,
    EnrolmentQuery,
    EnrolmentReport,
)
from crud_api.idempotency import Idempotent
from crud_api.json_body import JsonRoute
from crud_api.listed_ids import in_body_or_query
from crud_api.openapi import error_responses
from crud_api.responses import IfMatch, model_response
from sequence_store.domain.states import EnrolmentStatus

router = APIRouter(prefix="/sequences/{sequence_id}/contacts", tags=["enrolments"], route_class=JsonRoute)
of_contact = APIRouter(prefix="/contacts/{contact_id}/enrolments", tags=["enrolments"])


@of_contact.get(
    "",
    summary="List the sequences of a contact",
    response_model=list[ContactEnrolment],
    responses=error_responses(404),
)
def list_contact_enrolments(
    contact_id: UUID, query: Annotated[ContactEnrolmentQuery, Query()], store: Store
) -> Response:
    """List the sequences in which a contact is or was, in the order in which the sequences were created."""
    with store.reading() as connection:
        return service.read_of_contact(connection, contact_id, query).response()


@router.get(
    "",
    summary="List the contacts of a sequence",
    response_model=list[Enrolment],
    responses=error_responses(404),
)
def list_enrolments(sequence_id: UUID, query: Annotated[EnrolmentQuery, Query()], store: Store) -> Response:
    """List the contacts of a sequence, in the order in which the contacts were created."""
    with store.reading() as connection:
        return service.read(connection, sequence_id, query).response()


@router.post(
    "",
    status_code=201,
    summary="Enrol contacts",
    response_model=EnrolmentReport,
    responses=error_responses(404, 409, 413),
)
def enrol_contacts(
    sequence_id: UUID, body: ContactIds, idempotent: Idempotent, settings: Settings, today: Today
) -> Response:
    """Enrol contacts in a sequence; contacts whose enrolment has ended restart at the first step.

    Contacts that cannot be enrolled are listed in `refused` with the reason. A contact that replied in the
    last REPLY_QUIET_DAYS is enrolled only by a request that names it alone. The first step is due on the
    current planning day plus its `delayDays`. If today's plan has already run, the next plan includes it.
    """
    return idempotent.create(
        lambda connection: service.enrol(
            connection,
            sequence_id,
            body.contact_ids,
            today=today,
            pads=settings.address_pads,
            quiet_days=settings.reply_quiet_days,
        )
    )


@router.delete("", status_code=204, summary="Remove contacts", responses=error_responses(404, 413))
def remove_contacts(
    sequence_id: UUID,
    query: Annotated[ContactIdsQuery, Query()],
    store: Store,
    body: ContactIds | None = None,
) -> None:
    """Remove contacts from a sequence; skip those that are not in it.

    The list is in the body or in the query.
    """
    listed = in_body_or_query(body, query.contact_ids, ContactIds, "contactIds")
    with store.transaction() as connection:
        service.remove_all(connection, sequence_id, listed.contact_ids)


@router.get(
    "/{contact_id}", summary="Get an enrolment", response_model=Enrolment, responses=error_responses(404)
)
def get_enrolment(sequence_id: UUID, contact_id: UUID, store: Store) -> Response:
    """Return an enrolment, including one that has ended."""
    with store.reading() as connection:
        return model_response(service.find(connection, sequence_id, contact_id))


@router.patch(
    "/{contact_id}",
    summary="Pause, resume or end an enrolment",
    response_model=Enrolment,
    responses=error_responses(404, 409, 412, 413),
)
def change_enrolment(
    sequence_id: UUID,
    contact_id: UUID,
    body: EnrolmentChange,
    store: Store,
    settings: Settings,
    today: Today,
    match: IfMatch,
) -> Response:
    """Change the status: `paused` pauses the enrolment, `active` resumes it, `replied` ends it.

    `replied` counts as a reply that was read from the mailbox: the sequence's `replyStops` says whom it
    stops. An enrolment that has ended is not resumed by `active`.
    """
    with store.transaction() as connection:
        if EnrolmentStatus(body.status) is EnrolmentStatus.REPLIED:
            contacts.lock_for_stop(connection, contact_id, sequence_id, settings.company_most_contacts)
        match.require(lambda: service.find(connection, sequence_id, contact_id, lock=True))
        changed = service.change(
            connection,
            sequence_id,
            contact_id,
            EnrolmentStatus(body.status),
            today=today,
            company_most=settings.company_most_contacts,
        )
        return model_response(changed)


@router.post(
    "/{contact_id}/resume",
    summary="Undo a stop by a reply",
    response_model=Enrolment,
    responses=error_responses(404, 409),
)
def resume_enrolment(
    sequence_id: UUID, contact_id: UUID, store: Store, settings: Settings, today: Today
) -> Response:
    """Resume an enrolment that a reply ended: a new round at the same step, from the same mailbox.

    The next mail continues the thread. An unsubscribed contact cannot be resumed.
    """
    with store.transaction() as connection:
        resumed = service.resume(connection, sequence_id, contact_id, today=today, pads=settings.address_pads)
        return model_response(resumed)


@router.delete("/{contact_id}", status_code=204, summary="Remove a contact", responses=error_responses(404))
def remove_contact(sequence_id: UUID, contact_id: UUID, store: Store) -> None:
    """Remove a contact from a sequence, so that it gets no more mails of the sequence.

    If the contact is enrolled again, it restarts at the first step.
    """
    with store.transaction() as connection:
        service.remove(connection, sequence_id, contact_id)
