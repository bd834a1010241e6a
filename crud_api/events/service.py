"""Reads a page of the feed."""

from __future__ import annotations

from sqlalchemy import Connection

from crud_api.errors import ConflictError, GoneError
from crud_api.events import repository
from crud_api.events.schemas import Event, EventQuery
from crud_api.paging import Page

MOST_EXAMINED = 20_000  # positions that a page with `kinds` looks at; the cursor moves on in any case


def read(connection: Connection, query: EventQuery) -> Page[Event]:
    """Return the events after a position; `next` is the position from which to go on, also on an empty page.

    Raise ConflictError if the position is beyond the feed, GoneError if events after it were removed.
    """
    repository.give_positions(connection)
    state = repository.read_state(connection)
    if query.after > state.last_position:
        raise ConflictError(
            f"after: {query.after} is beyond the last position {state.last_position} of the feed. The "
            "database was restored to an earlier time, or the position is of another deployment: read again "
            "from the position of your own copy of that time."
        )
    if 0 < query.after < state.removed_to:
        raise GoneError(
            f"after: the events up to position {state.removed_to} were removed because of their age "
            "(EVENTS_KEPT_DAYS). Read what came of the mails from mail_facts, then go on with "
            f"after={state.removed_to}."
        )
    upto = min(state.last_position, query.after + MOST_EXAMINED) if query.kinds else state.last_position
    upto = max(upto, min(state.removed_to, state.last_position))
    rows = repository.read(connection, query.after, upto, query.kinds, query.size)
    events = [Event.of(row) for row in rows]
    following = events[-1].position if len(events) == query.size else upto
    return Page(events, None, str(max(following, query.after)))
