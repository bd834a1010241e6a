"""Tests, by the query plans, that a page costs the same at any position of a list of any length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from crud_api.paging import COUNT_LIMIT
from tests.crud_api.conftest import STEP, Api

MANY = 30_000
DELETED = 12_000  # the rows up to this number are deleted
INACTIVE = 24_000  # the rows after them, up to this number, are inactive
FAR = 27_000
MOST = 400  # rows that one node of the plan may read for a page of 50: a page, plus one, of each status

TABLES = {
    "contacts": """INSERT INTO contacts (name, mail_address, is_active, deleted_at)
        SELECT 'n', md5(n::text) || '@x.y', n > %s, CASE WHEN n <= %s THEN now() END
        FROM generate_series(1, %s) n""",
    "mailboxes": """INSERT INTO mailboxes
            (address, send_limit, send_start_time, send_end_time, is_active, deleted_at)
        SELECT md5(n::text) || '@x.y', 1, '09:00', '17:00', n > %s, CASE WHEN n <= %s THEN now() END
        FROM generate_series(1, %s) n""",
    "sequences": """INSERT INTO sequences (sequence_name, is_active, deleted_at)
        SELECT md5(n::text), n > %s, CASE WHEN n <= %s THEN now() END FROM generate_series(1, %s) n""",
}
SORTS = {
    "contacts": ("createdAt", "mailAddress"),
    "mailboxes": ("createdAt", "address"),
    "sequences": ("createdAt", "name"),
}


def touched(plan: dict[str, Any]) -> float:
    """Return the maximum number of rows that one node of a plan read, including rows that it filtered out."""
    below = [touched(step) for step in plan.get("Plans", [])]
    removed = sum(value for name, value in plan.items() if name.startswith("Rows Removed by"))
    return max([(plan["Actual Rows"] + removed) * plan["Actual Loops"], *below])


class Costs:
    """The rows read by the statements of all requests so far: page statements and counts."""

    def __init__(self) -> None:
        self.pages: list[float] = []
        self.counts: list[float] = []

    def of(self, api: Api, path: str, **query: Any) -> list[dict[str, Any]]:
        """Request a page and check its cost."""
        self.pages, self.counts = [], []
        answer = api.get(path, params=query)
        assert answer.status_code == 200, answer.text
        assert max(self.pages) <= MOST, (path, query, self.pages)
        assert max(self.counts, default=0) <= COUNT_LIMIT + 1, (path, query, self.counts)
        shown: list[dict[str, Any]] = answer.json()
        return shown


@pytest.fixture
def costs(api: Api) -> Iterator[Costs]:
    """Explain every statement that the API executes for a page."""
    found = Costs()

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "LIMIT" in statement:
            with connection.connection.driver_connection.cursor() as other:
                other.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
                kind = found.counts if "count(*)" in statement else found.pages
                kind.append(touched(other.fetchone()[0][0]["Plan"]))

    engine = api.app.state.database._engine
    event.listen(engine, "before_cursor_execute", explain)
    yield found
    event.remove(engine, "before_cursor_execute", explain)


@pytest.mark.parametrize("table", TABLES)
def test_page_of_a_list_costs_the_same_with_each_filter_and_sort(api: Api, costs: Costs, table: str) -> None:
    api.sql(TABLES[table], INACTIVE, DELETED, MANY)
    api.sql(f"ANALYZE {table}")
    for field in SORTS[table]:
        for sort in (field, f"-{field}"):
            for active in ({}, {"isActive": "true"}, {"isActive": "false"}):
                assert len(costs.of(api, f"/{table}", sort=sort, **active)) == 50
                costs.of(api, f"/{table}", sort=sort, after=f"{FAR}_long", **active)
    [found] = costs.of(api, f"/{table}", **{SORTS[table][1]: one_key(api, table)})
    assert found


def one_key(api: Api, table: str) -> str:
    column = {"contacts": "mail_address", "mailboxes": "address", "sequences": "sequence_name"}[table]
    [(key,)] = api.sql(f"SELECT {column} FROM {table} WHERE id = %s", FAR)
    return str(key)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("rare", [True, False])
def test_few_among_many_others_cost_no_walk(api: Api, costs: Costs, table: str, rare: bool) -> None:
    api.sql(TABLES[table], 0 if rare else MANY, 0, MANY)
    api.sql(f"UPDATE {table} SET is_active = NOT is_active WHERE id = %s", FAR)
    api.sql(f"ANALYZE {table}")
    for sort in SORTS[table]:
        assert len(costs.of(api, f"/{table}", sort=sort, isActive=str(not rare).lower())) == 1


@pytest.fixture
def enrolled(api: Api) -> dict[str, Any]:
    """Enrol many contacts and send each one mail. Most are removed; of the last ones, a few are paused.

    The sends of the removed contacts are in the archive.
    """
    sequence, mailbox = api.sequence(steps=[STEP, STEP | {"stepNumber": 2}]), api.mailbox()
    key = api.key("sequences", sequence)
    api.sql(TABLES["contacts"], 0, 0, MANY)
    api.sql(
        """INSERT INTO sequences_contacts (sequence_id, contact_id, status)
           SELECT %s, id,
               CASE WHEN id <= %s THEN 'removed' WHEN id %% 1000 = 0 THEN 'paused' ELSE 'active' END
           FROM contacts""",
        key,
        INACTIVE,
    )
    api.sql(
        """INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,
               send_day, send_at, not_after, status)
           SELECT e.sequence_id, e.contact_id, s.id, 1, %s, day, day, day, day, day + 1, 'sent'
           FROM sequences_contacts e, steps s, (VALUES (date '2026-03-10')) days (day)
           WHERE s.step_number = 1""",
        api.key("mailboxes", mailbox),
    )
    api.sql(
        """WITH gone AS (DELETE FROM sends WHERE contact_id <= %s RETURNING *)
           INSERT INTO archived_sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,
               send_day, send_at, attempt, status)
           SELECT sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at,
               attempt, status FROM gone""",
        INACTIVE,
    )
    api.sql(
        """INSERT INTO plan_deferrals SELECT sequence_id, contact_id, '2026-03-10', 'x'
           FROM sequences_contacts WHERE status = 'active'"""
    )
    api.sql("ANALYZE")
    return sequence


def test_page_of_enrolments_costs_the_same_with_each_status(
    api: Api, enrolled: dict[str, Any], costs: Costs
) -> None:
    path = f"/sequences/{enrolled['id']}/contacts"
    assert len(costs.of(api, path)) == 50
    assert len(costs.of(api, path, after=f"{FAR}_long")) == 50
    for status, shown in (("active", 50), ("removed", 50), ("paused", 6), ("replied", 0)):
        assert len(costs.of(api, path, status=status)) == shown


def test_page_of_a_history_costs_the_same_far_in_and_with_each_filter(
    api: Api, enrolled: dict[str, Any], costs: Costs
) -> None:
    path = f"/sequences/{enrolled['id']}/sends"
    contact = api.sql("SELECT external_id::text FROM contacts WHERE id = %s", FAR - 1)[0][0]
    assert len(costs.of(api, path)) == 50
    assert len(costs.of(api, path, after=f"{FAR}_0_1_1_long")) == 50
    assert len(costs.of(api, path, after=f"{FAR}_1_0_0_long")) == 50
    assert len(costs.of(api, path, waiting="true")) == 50
    assert len(costs.of(api, path, waiting="true", after=f"{FAR}_1_0_0_long")) == 50
    assert len(costs.of(api, path, waiting="false", after=f"{FAR}_0_1_1_long")) == 50
    assert len(costs.of(api, path, contactId=contact)) == 2
    assert len(costs.of(api, f"/contacts/{contact}/sends")) == 2
    assert len(costs.of(api, path, contactId=contact, waiting="true")) == 1
    for sort in ("sendAt", "-sendAt"):
        for waiting in ("true", "false"):
            assert len(costs.of(api, f"/contacts/{contact}/sends", sort=sort, waiting=waiting)) == 1


def test_page_of_a_sequences_mailboxes_costs_the_same_far_in(api: Api, costs: Costs) -> None:
    sequence = api.sequence()
    api.sql(TABLES["mailboxes"], 0, 0, MANY)
    api.sql("INSERT INTO sequences_mailboxes SELECT %s, id FROM mailboxes", api.key("sequences", sequence))
    api.sql("ANALYZE")
    path = f"/sequences/{sequence['id']}/mailboxes"
    assert len(costs.of(api, path)) == 50
    assert len(costs.of(api, path, after=f"{FAR}_long")) == 50


@pytest.mark.parametrize("path", ["/suppressions", "/imports"])
def test_page_of_what_came_in_costs_the_same_far_in(api: Api, costs: Costs, path: str) -> None:
    api.sql(
        """INSERT INTO suppressions (address_hmac, reason)
           SELECT sha256(n::text::bytea), 'x' FROM generate_series(1, %s) n""",
        MANY,
    )
    api.sql("INSERT INTO imports (kind) SELECT 'contacts' FROM generate_series(1, %s)", MANY)
    api.sql("ANALYZE")
    assert len(costs.of(api, path)) == 50
    assert len(costs.of(api, path, after=f"{FAR}_long")) == 50
    if path == "/suppressions":
        assert costs.of(api, path, mailAddress="ada@example.com") == []
