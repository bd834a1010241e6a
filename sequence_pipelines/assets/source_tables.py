"""What the pipeline reads and others write: tables of the Sequence API, and the queues at both ends."""

import dagster as dg

from sequence_pipelines.assets import DISPATCH, OWNERS, RESULTS, SOURCES
from sequence_pipelines.reporting.column_schemas import table

_BY_API = "Written by the Sequence API."


def _source(name: str, description: str, *columns: tuple[str, str, str], pii: bool = False) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        group_name=SOURCES,
        kinds={"postgres"},
        owners=OWNERS,
        tags={"domain": "sequences"} | ({"pii": "true"} if pii else {}),
        description=description,
        metadata=table(name, *columns),
    )


source_assets = [
    _source(
        "sequences_contacts",
        f"Enrolments: where each contact stands in a sequence. {_BY_API} Advanced by `delivery_results`, so the "
        "circle is closed a day later.",
        ("sequence_id", "bigint", "Sequence"),
        ("contact_id", "bigint", "Contact"),
        ("round", "smallint", "Raised when a contact is enrolled anew"),
        ("status", "text", "active, paused, completed, replied, bounced, unsubscribed, removed"),
        ("current_step", "integer", "The lowest live step number at or above it is due"),
        ("next_send", "date", "Planning day on which it falls due"),
        ("last_send", "date", "Planning day of the last mail"),
        ("mailbox_id", "bigint", "Mailbox of the first mail"),
    ),
    _source(
        "sequences",
        f"Sequences, with their bound of first mails and their priority. {_BY_API}",
        ("id", "bigint", "Internal id"),
        ("sequence_name", "varchar", "Its name"),
        ("is_active", "boolean", "Whether it mails"),
        ("max_new_per_day", "integer", "Most first mails a day; null: no bound"),
        ("priority", "integer", "Larger goes first"),
    ),
    _source(
        "steps",
        f"Steps of the sequences: what is mailed, and how many days after the step before. {_BY_API}",
        ("id", "bigint", "Internal id"),
        ("sequence_id", "bigint", "Its sequence"),
        ("step_number", "integer", "Order within the sequence"),
        ("delay_days", "integer", "Planning days after the step before"),
        ("mail_subject", "varchar", "Liquid template"),
        ("mail_content", "text", "Liquid template"),
    ),
    _source(
        "mailboxes",
        f"Mailboxes with their limits, windows and zones. {_BY_API} Parked by the worker and by `delivery_results`.",
        ("id", "bigint", "Internal id"),
        ("send_limit", "integer", "Mails a local day"),
        ("send_start_time", "time", "Start of the window, local"),
        ("send_end_time", "time", "End of the window, local; at or before the start: the next day"),
        ("time_zone", "text", "IANA zone"),
        ("min_gap_seconds", "integer", "Least seconds between two mails"),
        ("max_first_mails", "integer", "Most first mails a day; null: no bound"),
        ("is_active", "boolean", "Whether it mails"),
        ("parked_until", "timestamptz", "It mails nothing before"),
        pii=True,
    ),
    _source(
        "sequences_mailboxes",
        f"Which mailboxes mail for which sequence. {_BY_API}",
        ("sequence_id", "bigint", "Sequence"),
        ("mailbox_id", "bigint", "Mailbox"),
    ),
    _source(
        "contacts",
        f"Contacts and their addresses. {_BY_API}",
        ("id", "bigint", "Internal id"),
        ("mail_address", "text", "Unique without regard to case"),
        ("is_active", "boolean", "Whether it may be mailed"),
        ("attributes", "jsonb", "What templates may use"),
        pii=True,
    ),
    _source(
        "suppressions",
        "Who must not be mailed again, whatever happens to the contact's row; addresses as hashes. Written by bounces, "
        "complaints, unsubscriptions and the Sequence API.",
        ("address_hmac", "bytea", "HMAC of the address"),
        ("reason", "text", "Why"),
        ("at", "timestamptz", "Since when"),
    ),
    dg.AssetSpec(
        "sends_queue",
        group_name=DISPATCH,
        kinds={"aws", "sqs"},
        owners=OWNERS,
        tags={"domain": "sequences"},
        deps=["timed_messages"],
        description="SQS queue of timed messages (`SENDS_QUEUE`): ids and times, no address and no content. The step "
        "mailing worker takes each at its second and mails it over SMTP.",
    ),
    dg.AssetSpec(
        "delivery_results_queue",
        group_name=RESULTS,
        kinds={"aws", "sqs"},
        owners=OWNERS,
        tags={"domain": "sequences"},
        deps=["sends_queue"],
        description="SQS queue (`DELIVERY_RESULTS_QUEUE`) on which workers report outcomes, and providers bounces and "
        "complaints.",
    ),
]
