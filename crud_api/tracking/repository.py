"""The statements of tracking."""

from __future__ import annotations

from sqlalchemy import Connection

from crud_api.database import run
from sequence_store.mail.link_tokens import Link, LinkKind

MOST_EVENTS = 100  # of a kind of a send

KINDS = {LinkKind.OPEN: "opened", LinkKind.CLICK: "clicked"}


def record(connection: Connection, link: Link) -> None:
    """Note that a mail was opened or one of its links followed."""
    values = {**link.send._asdict(), "kind": KINDS[link.kind], "place": link.place, "most": MOST_EVENTS}
    run(connection, "tracking", "wait_a_second_at_most")
    run(connection, "tracking", "record_link_event", values)


def unsubscribe(connection: Connection, link: Link, pads: bytes) -> None:
    run(connection, "tracking", "unsubscribe", {**link.send._asdict(), "pads": pads})
