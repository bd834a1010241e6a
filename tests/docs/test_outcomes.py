"""Runs the queries of docs/outcomes.md, and compares its tables with the views, the rates and the feed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from standardwebhooks import Webhook

from sequence_pipelines.maintenance.facts import SCHEMA, FactFiles
from sequence_store.domain.feed_kinds import FEED_KINDS
from sequence_store.domain.rates import COUNTS, RATES
from sequence_store.feed import drain_feed
from tests.conftest import Database, Services
from webhook_sender.messages import signed_headers

PAGES = Path(__file__).parents[2] / "docs"
PAGE = (PAGES / "outcomes.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"in (SQL|DuckDB):\n\n```sql\n(.*?)```", PAGE, re.DOTALL)


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


@pytest.fixture
def facts(database: Database, settings: Services, tmp_path: Path) -> Any:
    """Insert two finished mails, of which one was replied to, and write their file."""
    now = datetime.now(UTC) - timedelta(hours=1)
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "INSERT INTO mailboxes (id, address, send_limit, send_start_time, send_end_time)"
            " VALUES (1, 'a@s.example', 5, '09:00', '17:00')"
        )
        connection.execute("INSERT INTO sequences (id, sequence_name) VALUES (1, 'Spring')")
        connection.execute(
            "INSERT INTO steps (id, sequence_id, step_number, mail_content) VALUES (1, 1, 1, 'x')"
        )
        for contact, status in ((1, "sent"), (2, "hard_failed")):
            connection.execute(
                "INSERT INTO contacts (id, name, mail_address) VALUES (%s, 'c', %s)",
                [contact, f"c{contact}@p.example"],
            )
            connection.execute(
                "INSERT INTO sequences_contacts (sequence_id, contact_id) VALUES (1, %s)", [contact]
            )
            connection.execute(
                "INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,"
                " send_day, send_at, not_after, status)"
                " VALUES (1, %s, 1, 1, 1, %s, %s, %s, %s, %s, 'transmitting')",
                [contact, now.date(), now.date(), now.date(), now, now],
            )
            connection.execute(
                "UPDATE sends SET status = %s, finished_at = %s WHERE contact_id = %s", [status, now, contact]
            )
        connection.execute(
            "INSERT INTO send_events (sequence_id, contact_id, step_id, round, kind)"
            " VALUES (1, 1, 1, 1, 'reply')"
        )
        drain_feed(connection)
    files, calendar = FactFiles(str(tmp_path)), settings.pipeline.calendar
    with database.connect("pipeline", autocommit=True) as connection:
        files.write(connection, calendar.day_of(now), calendar)
    return database, str(tmp_path)


def test_page_has_five_queries() -> None:
    assert [kind for kind, _ in QUERIES] == ["SQL", "SQL", "DuckDB", "DuckDB", "DuckDB"]


@pytest.mark.parametrize(("kind", "query"), QUERIES, ids=[query.splitlines()[0][:40] for _, query in QUERIES])
def test_query_of_the_page_runs_and_finds_the_mails(facts: Any, kind: str, query: str) -> None:
    database, store = facts
    if kind == "SQL":
        with database.connect("readonly") as connection:
            rows = connection.execute(query).fetchall()
    else:
        with duckdb.connect() as connection:
            rows = connection.execute(query.replace(".local/assets", store)).fetchall()
    assert rows


def test_columns_of_the_page_are_those_of_the_files_and_of_the_views(database: Database) -> None:
    section = PAGE.split("## Columns of mail_facts")[1].split("\n## ")[0]
    table, rest = section.split("`enrolment_facts`", 1)
    listed = [
        name
        for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    assert listed == SCHEMA.names
    with database.connect("readonly") as connection:
        cursor = connection.execute("SELECT * FROM mail_facts LIMIT 0")
        assert [column.name for column in cursor.description or ()] == [*SCHEMA.names, "changed_at"]
        cursor = connection.execute("SELECT * FROM enrolment_facts LIMIT 0")
        assert [column.name for column in cursor.description or ()] == re.findall(r"`(\w+)`", rest)


def test_page_defines_every_count_every_rate_and_every_kind() -> None:
    for name, rate in RATES.items():
        below = " + ".join(f"`{camel(part)}`" for part in rate.below)
        assert f"| `{camel(name)}` | `{camel(rate.above)}` | {below} |" in PAGE
    counts = PAGE.split("## Counts and rates")[1]
    assert all(f"`{camel(name)}`" in counts or f"`{name}`" in counts for name in COUNTS)
    assert all(f"`{kind}`" in PAGE for kind in FEED_KINDS)


def test_example_of_the_page_on_webhooks_verifies_a_signature() -> None:
    page = (PAGES / "webhooks.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    scope: dict[str, Any] = {}
    exec(example, scope)
    secret, body = "whsec_c2VjcmV0", '{"position": 1}'
    headers = signed_headers("msg_1", body, [secret])
    assert scope["receive"](body.encode(), headers, secret) == {"position": 1}
    assert Webhook(secret)
