"""Stores the remaining limit of each mailbox's day in Valkey.

A worker whose mailbox has none left then cancels the send without a connection to the mail server.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import valkey

from sequence_store.postgres.queries import query
from sequence_store.quota_counters import ANSWER_SECONDS, SECONDS, counter_name
from sequence_store.settings import PipelineSettings


def set_quota_counters(connection: psycopg.Connection[Any], settings: PipelineSettings, day: date) -> int:
    """Set the counters of the local days that overlap planning day `day`.

    Return the number of counters; 0 if Valkey is not configured or does not respond.
    """
    if not settings.valkey_url:
        return 0
    rows = connection.execute(query("plan", "read_day_counters"), {"day": day}).fetchall()
    client = valkey.Valkey.from_url(
        settings.valkey_url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
    )
    try:
        with client, client.pipeline(transaction=False) as pipeline:
            for mailbox_id, send_day, left in rows:
                pipeline.set(
                    counter_name(settings.sequence_environment, mailbox_id, send_day), left, ex=SECONDS
                )
            pipeline.execute()  # type: ignore[no-untyped-call]
    except valkey.ValkeyError:
        return 0
    return len(rows)
