"""Tests of the grants: each role has exactly the documented rights."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

EVERYTHING = {"SELECT", "INSERT", "UPDATE", "DELETE"}
OUTCOMES = ("feed", "mail_outcomes", "outcome_days", "mail_facts", "enrolment_facts")
DOCUMENTED = {
    "sequence_api": {
        **{
            key: {"SELECT", "INSERT", "UPDATE"}
            for key in ("sequences", "steps", "contacts", "sequences_contacts")
        },
        **{key: {"SELECT", "INSERT", "DELETE"} for key in ("sequences_mailboxes", "suppressions")},
        "mailboxes": {"INSERT", "UPDATE"},
        **{
            key: {"SELECT"} for key in ("sends", "archived_sends", "mailbox_days", "plan_deferrals", "pauses")
        },
        "send_events": {"SELECT", "INSERT"},
        **{key: {"SELECT"} for key in OUTCOMES},
        "webhooks": {"INSERT", "UPDATE"},
        "api_keys": {"SELECT"},
        "idempotency_keys": EVERYTHING,
        "imports": EVERYTHING,
        "import_lines": {"SELECT", "INSERT"},
        **{key: {"SELECT"} for key in ("company_stops", "inbox_mails", "inbox_counts", "free_mail_domains")},
    },
    "sequence_pipeline": {
        **{key: {"SELECT"} for key in ("sequences", "steps", "contacts", "sequences_mailboxes")},
        "sequences_contacts": {"SELECT", "UPDATE"},
        **{key: {"SELECT", "INSERT"} for key in ("suppressions", "send_events")},
        **{key: {"SELECT", "INSERT", "UPDATE"} for key in ("sends", "mailbox_days")},
        **{
            key: {"SELECT"}
            for key in (
                "send_counts",
                "reputation_events",
                "inbox_positions",
                "archived_sends",
                "pauses",
                "company_stops",
                "inbox_mails",
                "inbox_counts",
                "free_mail_domains",
                *OUTCOMES,
            )
        },
        "plan_cuts": {"SELECT", "INSERT", "DELETE"},
        "webhooks": {"SELECT", "UPDATE"},
        **dict.fromkeys(("plan_deferrals", "fact_days", "check_results"), EVERYTHING),
    },
    "sequence_worker": {},
    "sequence_readonly": {
        key: {"SELECT"}
        for key in (
            "sequences",
            "steps",
            "contacts",
            "sequences_mailboxes",
            "sequences_contacts",
            "suppressions",
            "sends",
            "mailbox_days",
            "send_events",
            "plan_deferrals",
            "pauses",
            "plan_cuts",
            "imports",
            "import_lines",
            "send_counts",
            "reputation_events",
            "inbox_positions",
            "company_stops",
            "inbox_mails",
            "inbox_counts",
            "free_mail_domains",
            "archived_sends",
            "refusals",
            "policy_refusals",
            "fact_days",
            "check_results",
            *OUTCOMES,
        )
    },
}


@pytest.mark.parametrize("role", DOCUMENTED)
def test_table_grants_are_exactly_the_documented_ones(database: Any, role: str) -> None:
    with database.connect("owner") as connection:
        rows = connection.execute(
            "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = %s",
            (role,),
        ).fetchall()
    found: dict[str, set[str]] = {}
    for table, privilege in rows:
        found.setdefault(table, set()).add(privilege)
    assert found == DOCUMENTED[role]


@pytest.mark.parametrize("role", ["api", "pipeline", "readonly", "worker"])
def test_no_role_reads_a_mailboxes_secret_from_the_table(database: Any, role: Any) -> None:
    with database.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT smtp_secret FROM mailboxes")


@pytest.mark.parametrize("role", ["api", "readonly", "worker"])
def test_only_the_pipeline_reads_the_sealed_secret_of_a_webhook(database: Any, role: Any) -> None:
    with database.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT secret FROM webhooks")


def test_the_worker_has_its_functions_and_no_others(database: Any) -> None:
    with database.connect("owner") as connection:
        rows = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
            "AND has_function_privilege('sequence_worker', oid, 'EXECUTE') ORDER BY 1"
        ).fetchall()
    assert [name for (name,) in rows] == [
        "claim_send",
        "confirm_limit",
        "finish_attempt",
        "finish_send",
        "forget_inbox_mails",
        "keep_secret",
        "mail_format_of",
        "mailbox_server",
        "mailboxes_without_server",
        "mark_transmitting",
        "move_inbox_position",
        "park_mailbox",
        "read_inbox_accounts",
        "record_feedback",
        "record_mails",
        "release_claim",
        "renew_claim",
        "resumed_thread",
        "schema_revision",
        "store_canonical_hmac",
    ]
