"""Source tables: external assets for the tables of the Sequence API, and for both queues."""

import dagster as dg

from sequence_pipelines.assets import DISPATCH, OWNERS, PLANNING, RESULTS, SOURCES
from sequence_pipelines.reporting.column_schemas import SENDS, table
from sequence_store.domain.states import Deferral, EnrolmentStatus

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
        f"Enrolments: the state of each contact in a sequence. {_BY_API} `delivery_results` advances them, "
        "which makes the next step due on a later day.",
        ("sequence_id", "bigint", "Sequence"),
        ("contact_id", "bigint", "Contact"),
        ("round", "smallint", "Increases by 1 each time the contact is enrolled again"),
        ("status", "text", ", ".join(EnrolmentStatus)),
        ("current_step", "integer", "The lowest live step with this number or a higher one is due"),
        ("next_send", "date", "Date from which the step is due; of a follow-up a date of its mailbox"),
        ("last_send", "date", "Date of the last mail: its send_day"),
        ("last_offset", "smallint", "Minutes from UTC when the last mail's window started"),
        ("mailbox_id", "bigint", "Mailbox of the first mail"),
    ),
    _source(
        "sequences",
        f"Sequences with their priority and their limit of first mails. {_BY_API}",
        ("id", "bigint", "Internal id"),
        ("sequence_name", "varchar", "Name"),
        ("is_active", "boolean", "False: the sequence sends nothing"),
        ("max_new_per_day", "integer", "Limit of first mails per day; null: no limit"),
        ("priority", "integer", "Sequences with a larger number are planned first"),
    ),
    _source(
        "steps",
        f"Steps of the sequences: the content of a mail, and its delay after the previous step. {_BY_API}",
        ("id", "bigint", "Internal id"),
        ("sequence_id", "bigint", "Sequence of the step"),
        ("step_number", "integer", "Order within the sequence"),
        ("delay_days", "integer", "Planning days after the previous step"),
        ("mail_subject", "varchar", "Liquid template"),
        ("mail_content", "text", "Liquid template"),
    ),
    _source(
        "mailboxes",
        f"Mailboxes with their limits, send windows and time zones. {_BY_API} The worker and "
        "`delivery_results` can park a mailbox.",
        ("id", "bigint", "Internal id"),
        ("send_limit", "integer", "Limit of mails per local day"),
        ("send_start_time", "time", "Start of the send window, local time"),
        (
            "send_end_time",
            "time",
            "End of the send window, local time; at or before the start: on the next day",
        ),
        ("time_zone", "text", "IANA time zone"),
        ("min_gap_seconds", "integer", "Minimum number of seconds between two mails"),
        ("max_first_mails", "integer", "Limit of first mails per day; null: no limit"),
        ("is_active", "boolean", "False: the mailbox sends nothing"),
        ("parked_until", "timestamptz", "The mailbox sends nothing before this time"),
        pii=True,
    ),
    _source(
        "sequences_mailboxes",
        f"Mailboxes that each sequence may use. {_BY_API}",
        ("sequence_id", "bigint", "Sequence"),
        ("mailbox_id", "bigint", "Mailbox"),
    ),
    _source(
        "contacts",
        f"Contacts and their addresses. {_BY_API}",
        ("id", "bigint", "Internal id"),
        ("mail_address", "text", "Address in canonical form, unique without regard to case"),
        ("is_active", "boolean", "False: the contact is not mailed"),
        ("attributes", "jsonb", "Values that templates can use"),
        pii=True,
    ),
    _source(
        "suppressions",
        "Addresses that must not be mailed again, stored as hashes. A suppression outlives the contact. "
        "Written after bounces, complaints and unsubscriptions, and by the Sequence API.",
        ("address_hmac", "bytea", "HMAC of the address"),
        ("reason", "text", "Reason"),
        ("at", "timestamptz", "Time from which it applies"),
    ),
    dg.AssetSpec(
        "sends",
        group_name=DISPATCH,
        kinds={"postgres"},
        owners=OWNERS,
        tags={"domain": "sequences"},
        deps=["send_plan"],
        description="One row per step of an enrolment, with its slot and its state. `send_plan` "
        "writes the rows, `timed_messages` and the worker change their state, and `delivery_results` applies "
        "their outcome.",
        metadata=SENDS,
    ),
    dg.AssetSpec(
        "plan_deferrals",
        group_name=PLANNING,
        kinds={"postgres"},
        owners=OWNERS,
        tags={"domain": "sequences"},
        deps=["send_plan"],
        description="The contacts that are due and got no slot in the latest plan, each with the reason.",
        metadata=table(
            "plan_deferrals",
            ("sequence_id", "bigint", "Sequence"),
            ("contact_id", "bigint", "Contact"),
            ("plan_day", "date", "Planning day of the plan that deferred the contact"),
            ("reason", "text", ", ".join(Deferral)),
        ),
    ),
    dg.AssetSpec(
        "sends_queue",
        group_name=DISPATCH,
        kinds={"aws", "sqs"},
        owners=OWNERS,
        tags={"domain": "sequences"},
        deps=["timed_messages"],
        description="SQS queue of timed messages (`SENDS_QUEUE`): ids and times, no address and no content. "
        "The worker receives each message at its second and sends the mail over SMTP.",
    ),
    dg.AssetSpec(
        "step_mailing_worker",
        group_name=DISPATCH,
        kinds={"python", "smtp"},
        owners=OWNERS,
        tags={"domain": "sequences"},
        deps=["sends_queue", "sends", "mailboxes", "contacts", "steps", "suppressions"],
        description="The program that receives each message at its second, checks the gates, sends the mail "
        "over SMTP, records the outcome in `sends` and reports it. It runs outside Dagster.",
    ),
    dg.AssetSpec(
        "delivery_results_queue",
        group_name=RESULTS,
        kinds={"aws", "sqs"},
        owners=OWNERS,
        tags={"domain": "sequences"},
        deps=["step_mailing_worker"],
        description="SQS queue (`DELIVERY_RESULTS_QUEUE`) of outcomes that workers report, and of bounces "
        "and complaints that mail providers report.",
    ),
]
