"""The columns that the UI shows of each asset: a test holds them against the frames and the tables."""

from typing import Any

import dagster as dg

EPOCH = "epoch seconds"
EPOCH_DAY = "days since 1970-01-01"


def columns(*described: tuple[str, str, str]) -> dict[str, Any]:
    """Return an asset's metadata with its columns, each a name, a type and what it means."""
    shown = [dg.TableColumn(name, kind, description=words) for name, kind, words in described]
    return {"dagster/column_schema": dg.TableSchema(columns=shown)}


def table(name: str, *described: tuple[str, str, str]) -> dict[str, Any]:
    """Return an external asset's metadata: its table, and the columns that a plan reads."""
    return {"dagster/table_name": f"sequences.public.{name}", **columns(*described)}


CANDIDATE = (
    ("sequence_id", "int64", "Sequence"),
    ("contact_id", "int64", "Contact; its address stays in Postgres"),
    ("pinned_mailbox_id", "int64", "Mailbox of the first mail, which follow-ups stay with; 0: none yet"),
    ("step_id", "int64", "The step that is due"),
    ("step_number", "int64", "Its number in the sequence"),
    ("due_day", "int64", f"Planning day on which it fell due, {EPOCH_DAY}"),
    ("round", "int64", "1, and one more each time that the contact is enrolled anew"),
    ("follow_up", "bool", "Whether an earlier step was mailed"),
)

DUE_CONTACTS = columns(*CANDIDATE)

MAILBOX_CAPACITY = columns(
    ("mailbox_id", "int64", "Mailbox"),
    (
        "send_day",
        "int64",
        f"Mailbox-local day on which its window starts, {EPOCH_DAY}; the limit counts by it",
    ),
    ("starts", "int64", f"Start of the window, {EPOCH}"),
    ("ends", "int64", f"End of the window, {EPOCH}"),
    ("allowed", "int64", "The day's limit, after ramp-up"),
    ("opens", "int64", f"Start of what is left of it today, {EPOCH}"),
    ("closes", "int64", f"End of what is left of it today, {EPOCH}"),
    ("used", "int64", "Mails of that day that count already: planned, under way, or out"),
    ("placed", "int64", "Those of them with a place in this piece"),
    ("capacity", "int64", "Mails that still fit in"),
)

SEND_PLAN = columns(
    *CANDIDATE,
    ("priority", "int64", "The sequence's; larger goes first"),
    ("overdue", "int64", "Days since it fell due"),
    ("mailbox_id", "int64", "Mailbox that mails it"),
    ("reason", "category", "Empty: everybody here has a place"),
    ("send_day", "int64", f"Mailbox-local day of its window, {EPOCH_DAY}"),
    ("send_at", "int64", f"The second at which it is mailed, {EPOCH}"),
    ("window_ends", "int64", f"End of the mailbox's window, {EPOCH}"),
    ("not_after", "int64", f"Past it the mail is not sent any more, {EPOCH}"),
    ("plan_day", "int64", f"Planning day in which it was planned, {EPOCH_DAY}"),
)

SENDS = table(
    "sends",
    (
        "sequence_id",
        "bigint",
        "With contact, step and round the key: a step is mailed to a contact once at most",
    ),
    ("contact_id", "bigint", "Contact"),
    ("step_id", "bigint", "Step"),
    ("round", "smallint", "Round of the enrolment"),
    (
        "status",
        "text",
        "planned, dispatched, claimed, transmitting, sent, hard_failed, unknown, cancelled, expired",
    ),
    ("reason", "text", "Why it is cancelled, expired or planned again"),
    ("send_at", "timestamptz", "The second at which its message reaches a worker"),
    ("dispatched_at", "timestamptz", "When SQS confirmed its message"),
)
