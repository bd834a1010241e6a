"""Creates, reads, changes and deletes mailboxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Connection

from crud_api.errors import InvalidInputError, NotFoundError
from crud_api.mailboxes import repository
from crud_api.mailboxes.schemas import Mailbox, MailboxChanges, MailboxCreate, MailboxQuery
from crud_api.paging import Page
from crud_api.tables import AnyRow
from sequence_store.secrets.at_rest import SecretBox

RAMP_UP = ("ramp_up_start", "ramp_up_daily_increment", "ramp_up_started")


def create(connection: Connection, body: MailboxCreate, secrets: SecretBox) -> Mailbox:
    values = _columns(body.model_dump(), secrets)
    _check_ramp_up(values)
    return Mailbox.of(repository.add(connection, values))


def read(connection: Connection, query: MailboxQuery) -> Page[Mailbox]:
    page = repository.read(connection, query)
    return page.with_items([Mailbox.of(row) for row in page.items])


def find(connection: Connection, mailbox: UUID, *, lock: bool = False) -> Mailbox:
    return Mailbox.of(_found(repository.find(connection, mailbox, lock=lock), mailbox))


def change(connection: Connection, mailbox: UUID, body: MailboxChanges, secrets: SecretBox) -> Mailbox:
    changes = _columns(body.changes(), secrets)
    before = _found(repository.find(connection, mailbox, lock=True), mailbox)
    _check_ramp_up({**before._asdict(), **changes})
    if not changes:
        return Mailbox.of(before)
    return Mailbox.of(repository.change(connection, before.row_key, changes))


def delete(connection: Connection, mailbox: UUID) -> None:
    """Delete the mailbox. Its contacts continue with the other mailboxes of their sequences."""
    if not repository.delete(connection, mailbox):
        raise not_found(mailbox)


def not_found(mailbox: UUID) -> NotFoundError:
    return NotFoundError(f"No mailbox has the id {mailbox}.")


def _columns(fields: Mapping[str, Any], secrets: SecretBox) -> dict[str, Any]:
    return {
        name: secrets.seal(value.get_secret_value()) if isinstance(value, SecretStr) else value
        for name, value in fields.items()
    }


def _check_ramp_up(values: Mapping[str, Any]) -> None:
    if len({values[name] is None for name in RAMP_UP}) > 1:
        raise InvalidInputError(
            "rampUpStart: rampUpStart, rampUpDailyIncrement and rampUpStarted must be set together. "
            "Set all three, or set all three to null."
        )


def _found(row: AnyRow | None, mailbox: UUID) -> AnyRow:
    if row is None:
        raise not_found(mailbox)
    return row
