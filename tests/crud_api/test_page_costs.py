"""A page far into a long list is read from where it starts: no step of its plan walks up to it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from tests.crud_api.conftest import STEP, Api

MANY = 20_000
FAR = 15_000


def largest_step(plan: dict[str, Any]) -> float:
    """Return the most rows that one step of a plan produced."""
    below = [largest_step(step) for step in plan.get("Plans", [])]
    return max([plan["Actual Rows"] * plan["Actual Loops"], *below])


@pytest.fixture
def many(api: Api) -> dict[str, Any]:
    sequence, mailbox = api.sequence(steps=[STEP, STEP | {"stepNumber": 2}]), api.mailbox()
    keys = api.key("sequences", sequence), api.key("mailboxes", mailbox)
    api.sql(
        "INSERT INTO contacts (name, mail_address) SELECT 'n', n || '@x.y' FROM generate_series(1, %s) n",
        MANY,
    )
    api.sql("INSERT INTO sequences_contacts (sequence_id, contact_id) SELECT %s, id FROM contacts", keys[0])
    api.sql(
        """INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day,
               send_at, not_after, status)
           SELECT e.sequence_id, e.contact_id, s.id, 1, %s, day, day, day, day, day + 1, 'sent'
           FROM sequences_contacts e, steps s, (VALUES (date '2026-03-10')) days (day) WHERE s.step_number = 1""",
        keys[1],
    )
    api.sql(
        "INSERT INTO plan_deferrals SELECT sequence_id, contact_id, '2026-03-10', 'x' FROM sequences_contacts"
    )
    api.sql(
        "INSERT INTO suppressions (address_hmac, reason) SELECT sha256(n::text::bytea), 'x' FROM generate_series(1, %s) n",
        MANY,
    )
    api.sql("INSERT INTO imports (kind) SELECT 'contacts' FROM generate_series(1, %s)", MANY)
    api.sql("ANALYZE")
    return sequence


@pytest.fixture
def costs(api: Api) -> Iterator[list[float]]:
    """Collect the largest step of every page that the API reads."""
    found: list[float] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "LIMIT" in statement and "count(*)" not in statement:
            with connection.connection.driver_connection.cursor() as other:
                other.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
                found.append(largest_step(other.fetchone()[0][0]["Plan"]))

    engine = api.app.state.database._engine
    event.listen(engine, "before_cursor_execute", explain)
    yield found
    event.remove(engine, "before_cursor_execute", explain)


def cursor(*key: int) -> str:
    return base64.urlsafe_b64encode(",".join(map(str, key)).encode()).decode().rstrip("=")


def test_page_far_in_reads_no_more_rows_than_it_shows(
    api: Api, many: dict[str, Any], costs: list[float]
) -> None:
    for path, after in (
        ("/contacts", cursor(FAR)),
        ("/suppressions", cursor(FAR)),
        ("/imports", cursor(FAR)),
        (f"/sequences/{many['id']}/contacts", cursor(FAR)),
        (f"/sequences/{many['id']}/sends", cursor(FAR, 0, 1, 1)),
        (f"/sequences/{many['id']}/sends", cursor(FAR, 1, 0, 0)),
    ):
        costs.clear()
        assert len(api.get(path, params={"after": after}).json()) == 50
        assert costs
        assert max(costs) <= 200, path
