"""Reads how the incoming mail is read: when each folder was read, and the mails by day and kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import psycopg
from psycopg.rows import dict_row

from sequence_store.domain.states import MailKind, MailOutcome
from sequence_store.postgres.queries import query

UNREAD_SECONDS = 3600.0
SHOWN = (
    MailKind.REPLY,
    MailKind.AUTO_REPLY,
    MailKind.OPT_OUT,
    MailKind.UNSUBSCRIBE,
    MailKind.HARD_BOUNCE,
    MailKind.SOFT_BOUNCE,
    MailKind.COMPLAINT,
    MailOutcome.HELD,
    MailOutcome.OPT_OUT_UNVERIFIED,
    MailKind.UNREADABLE,
    MailKind.NONE,
)


@dataclass(frozen=True)
class InboxState:
    """How the mailboxes are read. The frames hold no address of a contact."""

    readable: int  # mailboxes with an IMAP server
    unread_seconds: float  # since the mailbox was read that was read longest ago
    opt_outs: int  # that wait for confirmation
    by_day: pd.DataFrame  # day, and a column for each kind
    folders: pd.DataFrame  # mailbox, folder, read seconds ago, waiting mails, newest mail


def read_inbox_state(connection: psycopg.Connection[Any], now: datetime) -> InboxState:
    cursor = connection.cursor(row_factory=dict_row)
    counts: dict[str, Any] = (
        cursor.execute(query("replies", "count_open_questions"), {"now": now}).fetchone() or {}
    )
    days = cursor.execute(query("replies", "count_mails_by_day"), {"now": now, "day": now.date()}).fetchall()
    folders = cursor.execute(query("replies", "read_folders"), {"now": now}).fetchall()
    frame = pd.DataFrame(days, columns=["day", "kind", "mails"])
    by_day = frame.pivot_table(index="day", columns="kind", values="mails", aggfunc="sum", fill_value=0)
    by_day = by_day.reindex(columns=[str(kind) for kind in SHOWN], fill_value=0)
    return InboxState(
        readable=int(counts["readable"]),
        unread_seconds=float(counts["unread_seconds"]),
        opt_outs=int(counts["opt_outs"]),
        by_day=by_day.sort_index(ascending=False).reset_index(),
        folders=pd.DataFrame(
            folders, columns=["mailbox_id", "folder", "read_seconds_ago", "waiting", "newest_at"]
        ).round({"read_seconds_ago": 0}),
    )
