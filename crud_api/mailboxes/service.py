"""Creates, reads, changes and deletes mailboxes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time, timedelta
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

WINDOW = ("send_start_time", "send_end_time")
SHORTEST_WINDOW = timedelta(minutes=1)  # the time that a mail may take, and that the plan leaves at its end
RAMP_UP = ("ramp_up_start", "ramp_up_daily_increment", "ramp_up_started")


def create(connection: Connection, body: MailboxCreate, secrets: SecretBox) -> Mailbox:
    values = _columns(body.model_dump(), secrets)
    _check_ramp_up(values)
    _check_window(values)
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
    if not changes.keys().isdisjoint(WINDOW):
        _check_window({**before._asdict(), **changes})
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


def _check_window(values: Mapping[str, Any]) -> None:
    """Refuse a window that can hold no mail. One that does not end after its start ends on the next day."""
    starts, ends = (
        timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)
        for at in (time.fromisoformat(str(values[name])) for name in WINDOW)
    )
    if timedelta(0) < (ends - starts) % timedelta(days=1) < SHORTEST_WINDOW:
        raise InvalidInputError(
            "sendEndTime: The send window is shorter than a minute and can hold no mail. Set sendEndTime at "
            "least a minute after sendStartTime; equal times mean the whole day."
        )


def _found(row: AnyRow | None, mailbox: UUID) -> AnyRow:
    if row is None:
        raise not_found(mailbox)
    return row
