"""Records opened mails, followed links and unsubscriptions."""

from __future__ import annotations

from sqlalchemy import Connection

from crud_api.database import run
from sequence_store.domain.states import EventKind
from sequence_store.mail.link_tokens import Link, LinkKind

MOST_EVENTS = 100  # per send and kind of event

KINDS = {LinkKind.OPEN: EventKind.OPENED, LinkKind.CLICK: EventKind.CLICKED}


def record(connection: Connection, link: Link, *, machine: bool) -> None:
    """Record that a mail was opened or that one of its links was followed.

    `machine`: the request shows that a program made it; else the database decides by the times.
    """
    key = link.send._asdict()
    values = {**key, "kind": KINDS[link.kind], "place": link.place, "machine": machine, "most": MOST_EVENTS}
    run(connection, "tracking", "wait_a_second_at_most")
    run(connection, "tracking", "record_link_event", values)


def unsubscribe(connection: Connection, link: Link, pads: bytes) -> None:
    run(connection, "tracking", "unsubscribe", {**link.send._asdict(), "pads": pads})
