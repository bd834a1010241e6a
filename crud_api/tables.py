"""Describes the tables that the API uses. The migrations create them, and a test compares the two."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    SmallInteger,
    Table,
    Text,
    Time,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

AnyRow: TypeAlias = Row[*tuple[Any, ...]]

metadata = MetaData()
Instant = DateTime(timezone=True)


def _public() -> list[Column[object]]:
    """Return the common columns of tables with a public id and soft deletion."""
    return [
        Column("id", BigInteger, primary_key=True),
        Column("external_id", Uuid),
        Column("created", Instant),
        Column("updated", Instant),
        Column("deleted_at", Instant),
    ]


sequences = Table(
    "sequences",
    metadata,
    *_public(),
    Column("sequence_name", Text),
    Column("open_tracking_enabled", Boolean),
    Column("click_tracking_enabled", Boolean),
    Column("is_active", Boolean),
    Column("max_new_per_day", Integer),
    Column("priority", Integer),
    Column("reply_stops", Text),
)

steps = Table(
    "steps",
    metadata,
    *_public(),
    Column("sequence_id", BigInteger),
    Column("step_name", Text),
    Column("step_number", Integer),
    Column("mail_subject", Text),
    Column("mail_content", Text),
    Column("mail_format", Text),
    Column("delay_days", Integer),
)

mailboxes = Table(
    "mailboxes",
    metadata,
    *_public(),
    Column("address", Text),
    Column("display_name", Text),
    Column("send_limit", Integer),
    Column("send_start_time", Time),
    Column("send_end_time", Time),
    Column("time_zone", Text),
    Column("send_days", ARRAY(SmallInteger)),
    Column("holiday_calendar", Text),
    Column("min_gap_seconds", Integer),
    Column("max_first_mails", Integer),
    Column("ramp_up_start", Integer),
    Column("ramp_up_daily_increment", Integer),
    Column("ramp_up_started", Date),
    Column("is_active", Boolean),
    Column("parked_until", Instant),
    Column("parked_reason", Text),
    Column("tracking_host", Text),
    Column("smtp_host", Text),
    Column("smtp_port", Integer),
    Column("smtp_security", Text),
    Column("smtp_username", Text),
    Column("smtp_secret", Text),  # write-only: the database role of the API may not read it
    Column("imap_host", Text),
    Column("imap_port", Integer),
    Column("imap_security", Text),
)

contacts = Table(
    "contacts",
    metadata,
    *_public(),
    Column("name", Text),
    Column("mail_address", Text),
    Column("mail_address_written", Text),
    Column("is_active", Boolean),
    Column("attributes", JSONB),
    Column("address_hmac", LargeBinary),
    Column("replied_at", Instant),
    Column("stopped_at", Instant),
    Column("stopped_reason", Text),
    Column("hold_until", Date),
    Column("hold_reason", Text),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("key_name", Text),
    Column("key_hash", LargeBinary),
    Column("scopes", ARRAY(Text)),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("api_key_id", BigInteger, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("fingerprint", LargeBinary),
    Column("answer", LargeBinary),
    Column("created_id", Uuid),
    Column("created", Instant),
)


suppressions = Table(
    "suppressions",
    metadata,
    Column("address_hmac", LargeBinary, primary_key=True),
    Column("id", BigInteger),
    Column("external_id", Uuid),
    Column("reason", Text),
    Column("at", Instant),
    Column("until", Instant),
)


def in_force() -> ColumnElement[bool]:
    """Return the condition that a row of suppressions has not ended."""
    return func.is_in_force(suppressions.c.until, func.clock_timestamp())


send_events = Table(
    "send_events",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("actor", Text),
    Column("detail", JSONB),
)

feed = Table("feed", metadata, Column("last_position", BigInteger), Column("removed_to", BigInteger))

webhooks = Table(
    "webhooks",
    metadata,
    *_public(),
    Column("url", Text),
    Column("kinds", ARRAY(Text)),
    Column("secret", Text),  # write-only: the database role of the API may not read it
    Column("is_active", Boolean),
    Column("cursor_position", BigInteger),
    Column("failures", Integer),
    Column("failing_since", Instant),
    Column("next_attempt_at", Instant),
    Column("last_error", Text),
    Column("delivered_at", Instant),
    Column("switched_off_at", Instant),
    Column("previous_until", Instant),
    Column("test_requested_at", Instant),
    Column("test_result", Text),
    Column("tested_at", Instant),
)

sequences_mailboxes = Table(
    "sequences_mailboxes",
    metadata,
    Column("sequence_id", BigInteger, primary_key=True),
    Column("mailbox_id", BigInteger, primary_key=True),
)

sequences_contacts = Table(
    "sequences_contacts",
    metadata,
    Column("sequence_id", BigInteger, primary_key=True),
    Column("contact_id", BigInteger, primary_key=True),
    Column("round", SmallInteger),
    Column("status", Text),
    Column("status_reason", Text),
    Column("current_step", Integer),
    Column("next_send", Date),
    Column("last_send", Date),
    Column("last_offset", SmallInteger),
    Column("mailbox_id", BigInteger),
    Column("thread_round", SmallInteger),
    Column("enrolled_at", Instant),
)

sends = Table(
    "sends",
    metadata,
    Column("sequence_id", BigInteger, primary_key=True),
    Column("contact_id", BigInteger, primary_key=True),
    Column("step_id", BigInteger, primary_key=True),
    Column("round", SmallInteger, primary_key=True),
    Column("mailbox_id", BigInteger),
    Column("due_day", Date),
    Column("plan_day", Date),
    Column("send_day", Date),
    Column("send_at", Instant),
    Column("not_after", Instant),
    Column("status", Text),
    Column("reason", Text),
    Column("attempt", Integer),
    Column("dispatched_at", Instant),
    Column("transmitting_at", Instant),
    Column("finished_at", Instant),
    Column("smtp_code", Integer),
    Column("enhanced_code", Text),
    Column("smtp_reply", Text),
)

archived_sends = Table(
    "archived_sends",
    metadata,
    Column("sequence_id", BigInteger, primary_key=True),
    Column("contact_id", BigInteger, primary_key=True),
    Column("step_id", BigInteger, primary_key=True),
    Column("round", SmallInteger, primary_key=True),
    Column("mailbox_id", BigInteger),
    Column("due_day", Date),
    Column("plan_day", Date),
    Column("send_day", Date),
    Column("send_at", Instant),
    Column("status", Text),
    Column("reason", Text),
    Column("attempt", Integer),
    Column("finished_at", Instant),
    Column("smtp_code", Integer),
    Column("enhanced_code", Text),
)

plan_deferrals = Table(
    "plan_deferrals",
    metadata,
    Column("sequence_id", BigInteger, primary_key=True),
    Column("contact_id", BigInteger, primary_key=True),
    Column("plan_day", Date),
    Column("reason", Text),
)

imports = Table(
    "imports",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("external_id", Uuid),
    Column("kind", Text),
    Column("state", Text),
    Column("message", Text),
    Column("rows_read", BigInteger),
    Column("added", BigInteger),
    Column("changed", BigInteger),
    Column("enrolled", BigInteger),
    Column("merged", BigInteger),
    Column("refused", BigInteger),
    Column("flagged", BigInteger),
    Column("not_enrolled", BigInteger),
    Column("opted_out", BigInteger),
    Column("missing_names", BigInteger),
    Column("opt_out_columns", ARRAY(Text)),
    Column("ignored_columns", ARRAY(Text)),
    Column("encoding", Text),
    Column("encoding_confidence", Float),
    Column("delimiter", Text),
    Column("sheet", Text),
    Column("header_line", BigInteger),
    Column("columns", JSONB),
    Column("created", Instant),
    Column("updated", Instant),
    Column("finished_at", Instant),
)
