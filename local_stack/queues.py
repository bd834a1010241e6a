"""`python -m local_stack.queues`: what SQS needs after each start, since the local one keeps nothing.

Makes the queues, and returns sends that were dispatched but never claimed to the plan: their messages are gone.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from sequence_store.errors import StoreError
from sequence_store.postgres.connection import connect
from sequence_store.postgres.queries import query
from sequence_store.settings import OwnerSettings, read_settings
from sequence_store.sqs import create_queues, sqs_client

OLDEST_SEND = timedelta(days=2)  # a negative age asks for sends whose minute is still to come


def restore(settings: OwnerSettings) -> int:
    """Make the queues; return how many sends went back to the plan."""
    create_queues(sqs_client(settings), settings)
    every_age = {"since": datetime.now(UTC) - OLDEST_SEND, "older_than_seconds": -OLDEST_SEND.total_seconds()}
    with connect(settings.database_url, name="local_stack") as connection:
        return connection.execute(query("reconcile", "requeue_dispatched"), every_age).rowcount


if __name__ == "__main__":
    try:
        print(f"{restore(read_settings(OwnerSettings))} sends planned again")  # noqa: T201
    except StoreError as error:
        sys.exit(str(error))
