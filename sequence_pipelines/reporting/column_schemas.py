"""Defines the columns that the UI shows for each asset; a test compares them with frames and tables."""

from typing import Any

import dagster as dg

from sequence_store.domain.states import SendStatus

INSTANT, DAY = "timestamp", "date"


def columns(*described: tuple[str, str, str]) -> dict[str, Any]:
    """Return an asset's metadata with its column schema; each column is a name, a type and a description."""
    shown = [dg.TableColumn(name, kind, description=text) for name, kind, text in described]
    return {"dagster/column_schema": dg.TableSchema(columns=shown)}


def table(name: str, *described: tuple[str, str, str]) -> dict[str, Any]:
    """Return an external asset's metadata: the table's name, and the columns that a plan reads."""
    return {"dagster/table_name": f"sequences.public.{name}", **columns(*described)}


CANDIDATE = (
    ("sequence_id", "int64", "Sequence"),
    ("contact_id", "int64", "Contact; its address stays in Postgres"),
    ("pinned_mailbox_id", "int64", "Mailbox of the first mail, which also sends the follow-ups; 0: none yet"),
    ("step_id", "int64", "The step that is due"),
    ("step_number", "int64", "Number of the step in the sequence"),
    ("due_day", DAY, "Date from which the step is due"),
    ("round", "int64", "1; increases by 1 each time the contact is enrolled again"),
    ("follow_up", "bool", "True if an earlier step was mailed"),
    ("last_send", DAY, "Date of the last mail; empty: none"),
    ("last_offset", "int64", "Minutes from UTC when that mail's window started; 32767: not known"),
    ("overdue", "int64", "Days since the step fell due, without those on which the contact was held"),
    ("waits_since", DAY, "Due day, later by the dates on which the contact was held"),
)

DUE_CONTACTS = columns(*CANDIDATE)

MAILBOX_CAPACITY = columns(
    ("mailbox_id", "int64", "Mailbox"),
    (
        "send_day",
        DAY,
        "Local day on which the window starts; the limit applies to this day",
    ),
    ("starts", INSTANT, "Start of the send window"),
    ("ends", INSTANT, "End of the send window"),
    ("allowed", "int64", "Limit of the day, after ramp-up"),
    ("utc_offset", "int64", "Minutes from UTC when the window starts"),
    ("grid_from", INSTANT, "First cell of the grid of gaps"),
    ("last_cell", INSTANT, "Latest second of a cell of the grid"),
    ("opens", INSTANT, "Start of the open interval: the part of the window that a plan may use"),
    ("closes", INSTANT, "End of the open interval"),
    ("used", "int64", "Mails that already count against the limit: planned, in progress or sent"),
    ("placed", "int64", "Those of them whose slot is in this open interval"),
    ("capacity", "int64", "Mails that still fit into the open interval"),
)

SEND_PLAN = columns(
    ("sequence_id", "int64", "Sequence"),
    ("contact_id", "int64", "Contact; its address stays in Postgres"),
    ("step_id", "int64", "Step"),
    ("round", "int64", "Round of the enrolment"),
    ("mailbox_id", "int64", "Mailbox that sends the mail"),
    ("due_day", DAY, "Planning day on which the step fell due"),
    ("plan_day", DAY, "Planning day whose time the plan used"),
    ("send_day", DAY, "Local day of the mailbox's window"),
    ("send_at", INSTANT, "The second at which the mail is sent"),
    ("not_after", INSTANT, "Latest time of the mail; after it, the send expires"),
    ("status", "category", "State of the send when the day was last materialized"),
)

SENDS = table(
    "sends",
    (
        "sequence_id",
        "bigint",
        "Sequence; with contact, step and round the key, so a step is mailed to a contact at most once",
    ),
    ("contact_id", "bigint", "Contact"),
    ("step_id", "bigint", "Step"),
    ("round", "smallint", "Round of the enrolment"),
    (
        "status",
        "text",
        ", ".join(SendStatus),
    ),
    ("reason", "text", "Reason of the status: cancelled, expired or planned again"),
    ("send_at", "timestamptz", "The second at which a worker receives the message"),
    ("dispatched_at", "timestamptz", "Time at which SQS confirmed the message"),
)

MAIL_FACTS = table(
    "mail_facts",
    ("sequence_id", "uuid", "Sequence; all ids are those of the Sequence API"),
    ("step_id", "uuid", "Step"),
    ("step_number", "int32", "Number of the step in the sequence"),
    ("mailbox_id", "uuid", "Mailbox that sent it"),
    ("contact_id", "uuid", "Contact; null: erased"),
    ("round", "int16", "1; increases by 1 each time the contact is enrolled again"),
    ("plan_day", DAY, "Planning day for which it was planned"),
    ("send_day", DAY, "Date of the mail in its mailbox's time zone; the day of the statistics"),
    ("outcome", "string", "sent, unknown (it may have been sent) or hard_failed (refused for good)"),
    ("reason", "string", "Why it has its outcome; null: nothing went wrong"),
    ("smtp_code", "int32", "The server's code"),
    ("enhanced_code", "string", "The server's enhanced code"),
    ("planned_at", INSTANT, "Second for which it was planned"),
    ("sent_at", INSTANT, "When the server accepted it; null: hard_failed"),
    ("finished_at", INSTANT, "When its outcome was recorded; its planning day is the partition"),
    ("lateness_seconds", "float64", "From planned_at to finished_at"),
    ("attempts", "int32", "Number of the attempt that had this outcome"),
    ("first_opened_at", INSTANT, "First time that a person loaded the pixel"),
    ("opens", "int32", "Times that a person loaded the pixel, at most 100"),
    ("first_clicked_at", INSTANT, "First time that a person followed a link"),
    ("clicks", "int32", "Times that a person followed a link, at most 100"),
    ("machine_opened_at", INSTANT, "First time that a program loaded the pixel"),
    ("machine_opens", "int32", "Times that a program loaded the pixel"),
    ("machine_clicked_at", INSTANT, "First time that a program followed a link"),
    ("machine_clicks", "int32", "Times that a program followed a link"),
    ("replied_at", INSTANT, "First reply"),
    ("auto_replied_at", INSTANT, "First automatic reply"),
    ("bounced_at", INSTANT, "First bounce, a refusal included"),
    ("bounce_kind", "string", "hard (for good) or soft (for now); null: it did not bounce"),
    ("complained_at", INSTANT, "First report as spam"),
    ("unsubscribed_at", INSTANT, "First unsubscription by a link of this mail"),
    ("is_first_mail", "bool", "The first mail of its enrolment"),
)
