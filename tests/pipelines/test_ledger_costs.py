"""Tests that frequent queries read the ledger by index, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sequence_store.postgres.lookback import lookback_start
from sequence_store.postgres.queries import query

LEDGER = """
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at,
    not_after, status, transmitting_at, finished_at, advanced_at)
SELECT 1, n, 1, 1, 1, t::date, t::date, t::date, t, t + interval '2 hours', 'sent', t, t, t
FROM generate_series(1, 60000) n, LATERAL (SELECT now() - n * interval '10 minutes') at (t)
"""


def scans(plan: dict[str, Any], what: str = "Relation Name") -> Iterator[tuple[str, str]]:
    """Yield each table of a query plan, or each index, with the type of the node that reads it."""
    if what in plan and plan["Node Type"] != "ModifyTable":
        yield plan[what], plan["Node Type"]
    for part in plan.get("Plans", ()):
        yield from scans(part, what)


FREQUENT = [
    ("dispatch", "expire_overdue"),
    ("dispatch", "read_ready"),
    ("dispatch", "find_next"),
    ("dispatch", "count_ready"),
    ("reconcile", "requeue_dispatched"),
    ("reconcile", "release_lost_claims"),
    ("reconcile", "settle_transmitting"),
    ("reconcile", "count_unsettled"),
]


def test_frequent_queries_read_the_ledger_by_index(world: Any) -> None:
    world.run(LEDGER)
    world.run("ANALYZE sends")
    parameters = {
        "since": lookback_start(world.settings),
        "now": None,
        "ahead_seconds": 900,
        "older_than_seconds": 600,
        "bound_seconds": 900,
        "park_seconds": 86_400,
    }
    for name in FREQUENT:
        explained = world.connection.execute(
            f"EXPLAIN (FORMAT JSON) {query(*name).decode()}", parameters
        ).fetchone()
        nodes = {node for table, node in scans(explained[0][0]["Plan"]) if table == "sends"}
        assert nodes, name
        assert nodes <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, name


CONTACTS = """
INSERT INTO contacts (name, mail_address, address_hmac)
SELECT 'Contact ' || n, a, address_hmac(a, %(pads)s)
FROM generate_series(1, 20000) n, LATERAL (SELECT 'contact' || n || '@people.example' AS a) x
"""
SUPPRESSIONS = """
INSERT INTO suppressions (address_hmac, reason)
SELECT address_hmac, 'unsubscribed' FROM contacts WHERE id %% 100 = 1
"""


def test_suppressed_contacts_are_found_by_an_index_only_scan(world: Any) -> None:
    pads = {"pads": world.settings.address_pads}
    world.connection.execute(CONTACTS, pads)
    world.run(SUPPRESSIONS)
    world.run("ANALYZE contacts, suppressions")
    world.run("SET enable_seqscan = off")  # as if there were millions of rows
    world.run("SET enable_bitmapscan = off")
    statement = query("plan", "read_unmailable").decode()
    explained = world.connection.execute(
        f"EXPLAIN (FORMAT JSON) {statement}", pads | {"now": datetime.now(UTC)}
    ).fetchone()
    assert ("contacts_address_hmac_id", "Index Only Scan") in set(
        scans(explained[0][0]["Plan"], "Index Name")
    )
