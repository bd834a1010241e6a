"""Renders the mail of a step for a contact, with the code of the worker. Nothing is sent or stored."""

from __future__ import annotations

from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from crud_api.assignments import repository as assignments
from crud_api.contacts import repository as contacts
from crud_api.contacts.service import not_found as contact_not_found
from crud_api.enrolments import repository as enrolments
from crud_api.errors import ConflictError
from crud_api.exception_handlers import describe
from crud_api.fields import SubjectLine
from crud_api.mailboxes import repository as mailboxes
from crud_api.mailboxes.service import not_found as mailbox_not_found
from crud_api.paging import Paging
from crud_api.sequences.service import internal_id
from crud_api.steps import repository
from crud_api.steps.schemas import Preview, PreviewQuery
from crud_api.steps.service import not_found
from crud_api.tables import AnyRow
from sequence_store.domain.placeholders import is_missing_name
from sequence_store.errors import TemplateError
from sequence_store.mail.content import (
    Bodies,
    Person,
    encoded_size,
    render_bodies,
    render_subject,
    template_names,
)
from sequence_store.settings import LinkSettings

_SUBJECT: TypeAdapter[str] = TypeAdapter(SubjectLine)
LONGEST_UNCUT = 100_000  # bytes
NO_TOKEN = "preview"  # noqa: S105 - stands for the token in the unsubscribe link, which has no effect


def render(
    connection: Connection, sequence: UUID, step: UUID, query: PreviewQuery, settings: LinkSettings
) -> Preview:
    """Render the step for a contact; raise ConflictError with the reason if that is impossible."""
    sequence_id = internal_id(connection, sequence)
    steps = repository.of_sequences(connection, [sequence_id])[sequence_id]
    shown = next((one for one in steps if one.id == step), None)
    if shown is None:
        raise not_found(step)
    contact = contacts.find(connection, query.contact_id)
    if contact is None:
        raise contact_not_found(query.contact_id)
    mailbox = _mailbox(connection, sequence_id, query)
    sender = Person(mailbox.display_name or "", mailbox.address)
    recipient = Person("" if is_missing_name(contact.name) else contact.name, contact.mail_address)
    url = f"{settings.public_url_of(mailbox.tracking_host)}/u/{NO_TOKEN}"
    names = template_names(recipient, contact.attributes, sender, unsubscribe_url=url)
    earlier = (one.mail_subject for one in steps if one.step_number < shown.step_number)
    thread_subject = next((subject for subject in earlier if subject), None)
    try:
        subject = _SUBJECT.validate_python(render_subject(shown.mail_subject, thread_subject, names))
        bodies = render_bodies(shown.mail_content, names, shown.mail_format)
    except TemplateError as error:
        raise ConflictError(f"The mail for this contact cannot be rendered: {error}") from None
    except ValidationError as error:
        fault = describe({**error.errors(include_input=False)[0], "loc": ("body", "subject")})
        raise ConflictError(f"The mail for this contact cannot be rendered: {fault}") from None
    return Preview(
        sender_name=sender.name,
        sender_address=sender.address,
        contact_name=recipient.name,
        contact_address=recipient.address,
        mail_subject=subject,
        mail_format="html" if bodies.is_html else "text",
        text=bodies.text,
        html=bodies.html,
        warnings=_warnings(bodies),
    )


def _warnings(bodies: Bodies) -> list[str]:
    size = encoded_size(bodies)
    if size <= LONGEST_UNCUT:
        return []
    cut = f"Gmail cuts mails off at about {LONGEST_UNCUT // 1000} kB, and the unsubscribe link with them"
    return [f"The mail has {size // 1000} kB. {cut}. Shorten it."]


def _mailbox(connection: Connection, sequence_id: int, query: PreviewQuery) -> AnyRow:
    """Return the requested mailbox, else that of the contact's first mail, else the first one assigned."""
    if query.mailbox_id is not None:
        requested = mailboxes.find(connection, query.mailbox_id)
        if requested is None:
            raise mailbox_not_found(query.mailbox_id)
        return requested
    enrolment = enrolments.find(connection, sequence_id, query.contact_id)
    own = mailboxes.find(connection, enrolment.mailbox_id) if enrolment and enrolment.mailbox_id else None
    assigned = own or next(iter(assignments.read(connection, sequence_id, Paging(size=1)).items), None)
    if assigned is None:
        raise ConflictError("The sequence has no mailbox. Set mailboxId.")
    return assigned
