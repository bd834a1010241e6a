"""Prepares the local SQS after a start: `python -m local_stack.queues`.

The local SQS loses its queues and messages when it stops. This creates the queues and sets sends that were
dispatched but not claimed back to planned.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from sequence_store.errors import StoreError
from sequence_store.postgres.connection import connect
from sequence_store.postgres.lookback import LIVE_AT_MOST
from sequence_store.postgres.queries import query
from sequence_store.settings import OwnerSettings, read_settings
from sequence_store.sqs import create_queues, sqs_client


def restore(settings: OwnerSettings) -> int:
    """Create the queues and return how many sends were set back to planned."""
    create_queues(sqs_client(settings), settings)
    # A negative minimum age includes sends whose send time is in the future.
    every_age = {
        "since": datetime.now(UTC) - LIVE_AT_MOST,
        "older_than_seconds": -LIVE_AT_MOST.total_seconds(),
    }
    with connect(settings.database_url, name="local_stack") as connection:
        return connection.execute(query("reconcile", "requeue_dispatched"), every_age).rowcount


if __name__ == "__main__":
    try:
        print(f"{restore(read_settings(OwnerSettings))} sends set back to planned")  # noqa: T201
    except StoreError as error:
        sys.exit(str(error))
