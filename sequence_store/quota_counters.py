"""What is left of a mailbox's day, as Valkey counts it: quick to ask, never the last word.

The plan sets the counters and workers take from them. Postgres (`mailbox_days`) decides: a refusal is confirmed
there and a consent does not suffice, so a counter that is wrong or lost costs a connection and no mail.
"""

from __future__ import annotations

from datetime import date

SECONDS = 3 * 86_400  # a mailbox's day is over by then, wherever it is
ANSWER_SECONDS = 0.5


def counter_name(environment: str, mailbox_id: int, send_day: date) -> str:
    """Return the key under which a mailbox's day is counted."""
    return f"sequences:{environment}:left:{mailbox_id}:{send_day.isoformat()}"
