"""Keys of the quota counters in Valkey: how many mails each mailbox may still send on a day.

The plan sets the counters and workers decrement them. `mailbox_days` in Postgres decides: it confirms each
refusal and checks each permission again. A wrong or lost counter therefore costs a connection, and no mail.
"""

from __future__ import annotations

from datetime import date

SECONDS = 3 * 86_400  # longer than a mailbox's day in any time zone
ANSWER_SECONDS = 0.5


def counter_name(environment: str, mailbox_id: int, send_day: date) -> str:
    """Return the Valkey key of a mailbox's counter for one day."""
    return f"sequences:{environment}:left:{mailbox_id}:{send_day.isoformat()}"
