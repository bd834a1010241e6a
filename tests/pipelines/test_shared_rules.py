"""Tests the rules that SQL and the planner both contain, and the rules that several statements share."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from sequence_pipelines.maintenance.reconcile import reconcile_ledger
from sequence_pipelines.planning.engine.capacity import free_cells
from sequence_pipelines.planning.engine.eligibility import ClosedGates, find_due_steps
from sequence_pipelines.planning.engine.revocation import find_revoked
from sequence_pipelines.planning.engine.send_dates import next_date
from sequence_pipelines.planning.engine.windows import from_epoch_day, seconds_of
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.snapshot_reader import (
    planning_day_at,
    read_refused,
    read_snapshot,
    read_team,
)
from sequence_pipelines.resources.database import Database
from sequence_pipelines.results.consumer import consume_results
from sequence_store.domain.states import LIVE, REUSABLE, SPENT, SendStatus
from sequence_store.sqs import Outgoing
from tests.pipelines.test_ses_notifications import enter, report

ROOT = Path(__file__).parents[2]
SQL = [*(ROOT / "migrations" / "functions").glob("*.sql"), *(ROOT / "sequence_store").rglob("*.sql")]
ROUND_THE_CLOCK = {"send_start_time": "00:00", "send_end_time": "00:00", "send_limit": 10_000}


def insert_sends(world: Any, rows: list[tuple[Any, ...]]) -> None:
    """Insert sends: sequence_id, contact_id, step_id, round, mailbox_id, day, send_at, status."""
    with world.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,"
            " send_day, send_at, not_after, status) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(*row[:5], row[5], row[5], row[5], row[6], row[6], row[7]) for row in rows],
        )


ENROLMENTS = ("active", "paused", "replied", "another round", "removed")
CONTACTS = (
    "active",
    "inactive",
    "deleted",
    "suppressed",
    "inactive and suppressed",
    "no address",
    "suppressed and opt-out",
    "opt-out of a stopped company, away",
    "of a stopped company, away",
    "away",
    "away until the day before the send",
)
SEQUENCES = ("active", "inactive", "deleted", "only its own replies")
STOP_COMPANY = (
    "INSERT INTO company_stops (mail_domain, sequence_id, contact_id, step_id, round)"
    " VALUES ('stopped.example', 0, 0, 0, 1)"
)


def closing(contact: str, number: int, send_day: date) -> dict[str, Any]:
    """Return the values of a contact of this kind."""
    values: dict[str, Any] = {"is_active": "inactive" not in contact}
    if contact == "deleted":
        values["deleted_at"] = datetime.now(UTC)
    if contact == "no address":
        values["mail_address"] = f"no address {number}"
    if "of a stopped company" in contact:
        values["mail_address"] = f"c{number}@stopped.example"
    if "opt-out" in contact:
        values |= {"stopped_at": datetime.now(UTC), "stopped_reason": "opt_out_unverified"}
    if "away" in contact:
        until = send_day - timedelta(days="the day before" in contact)
        values |= {"hold_from": until, "hold_until": until, "hold_reason": "away"}
    return values


MAILBOXES = ("active", "inactive", "deleted", "parked beyond the send", "parked until before the send")


def test_gates_that_close_a_send_are_those_for_which_the_plan_revokes_it(world: Any) -> None:
    """In every combination, the first closed gate in order is the reason."""
    now = datetime.now(UTC)
    day = planning_day_at(now, world.settings)
    send_at = (now + (day.ends - now) / 2).replace(microsecond=0)
    parked = {MAILBOXES[3]: send_at + timedelta(days=1), MAILBOXES[4]: now + (day.ends - now) / 4}
    deleted = {"deleted_at": now}
    mailboxes = {
        kind: world.mailbox(
            is_active=kind != "inactive",
            parked_until=parked.get(kind),
            **ROUND_THE_CLOCK,
            **(deleted if kind == "deleted" else {}),
        )
        for kind in MAILBOXES
    }
    sequences = {
        kind: world.sequence(
            is_active=kind != "inactive",
            reply_stops="sequence" if kind == "only its own replies" else "contact",
            **(deleted if kind == "deleted" else {}),
        )
        for kind in SEQUENCES
    }
    steps = {(kind, n): world.step_id(sequences[kind], n) for kind in SEQUENCES for n in (1, 2)}
    world.run("UPDATE steps SET deleted_at = now() WHERE step_number = 2")
    world.run(STOP_COMPANY)
    rows = []
    for enrolment, contact, sequence, step, mailbox in product(
        ENROLMENTS, CONTACTS, SEQUENCES, (1, 2), MAILBOXES
    ):
        contact_id = world.contact(**closing(contact, len(rows), send_at.date()))
        if "suppressed" in contact:
            world.run(
                "INSERT INTO suppressions (address_hmac, reason)"
                " SELECT address_hmac(mail_address, %s), 'unsubscribed' FROM contacts WHERE id = %s",
                world.settings.address_pads,
                contact_id,
            )
        if enrolment != "removed":
            state = {"round": 2} if enrolment == "another round" else {"status": enrolment}
            world.enrol(sequences[sequence], contact_id, **state)
        row = (sequences[sequence], contact_id, steps[sequence, step], 1, mailboxes[mailbox])
        rows.append((*row, send_at.date(), send_at, "planned"))
    insert_sends(world, rows)
    assert len(rows) == 2200

    closed = world.connection.execute(
        "SELECT contact_id, coalesce(closed_gate(s, %s), '') FROM sends s", (world.settings.address_pads,)
    ).fetchall()
    repository = PlanRepository(world.connection, world.settings.address_pads)
    snapshot = read_snapshot(repository, day, now - timedelta(days=1), read_team(repository, day))
    enrolments = repository.enrolments(snapshot.rows)
    gates = ClosedGates(repository.unmailable(now), repository.holds(), read_refused(repository, snapshot))
    reasons = find_revoked(snapshot, seconds_of(now), gates, enrolments)
    assert dict(zip(snapshot.rows["contact_id"], reasons, strict=True)) == dict(closed)
    assert len({reason for _, reason in closed}) == 13  # twelve gates, and none


@pytest.mark.parametrize(
    "entered", ["ada@bücher.example", "ADA@bu\u0308cher.EXAMPLE", "ａda@xn--bcher-kva.example"]
)
def test_plan_leaves_out_every_spelling_of_a_suppressed_address(world: Any, entered: str) -> None:
    """SQL entered the contact; the HMAC of the canonical form is stored before the plan."""
    contact, free = world.contact(mail_address=entered), world.contact(mail_address="ada@bücher2.example")
    pads = world.settings.address_pads
    world.run(
        "INSERT INTO suppressions (address_hmac, reason) VALUES (address_hmac(%s, %s), 'x')",
        "ada@xn--bcher-kva.example",
        pads,
    )
    repository = PlanRepository(world.connection, pads)
    assert repository.hash_new_addresses() == 2
    unmailable = repository.unmailable(datetime.now(UTC))["contact_id"].tolist()
    assert contact in unmailable
    assert free not in unmailable


def test_next_live_step_is_the_step_that_the_plan_finds(world: Any) -> None:
    chance = Random(1)
    for _ in range(40):
        sequence = world.sequence(steps=0)
        for number in sorted(chance.sample(range(1, 13), chance.randrange(7))):
            world.step(sequence, number, delay_days=chance.randrange(5))
    world.run("UPDATE steps SET deleted_at = now() WHERE id %% 4 = 0")
    numbers = [*range(1, 15), 2**31 - 1]
    asked = [
        (q, n) for (q,) in world.connection.execute("SELECT id FROM sequences").fetchall() for n in numbers
    ]
    sequence_id, number = (np.array(column, dtype=np.int64) for column in zip(*sorted(asked), strict=True))
    columns = find_due_steps(PlanRepository(world.connection, b"").steps(), sequence_id, number)
    found = world.connection.execute(
        "SELECT coalesce(n.step_id, 0), coalesce(n.step_number, 0), coalesce(n.delay_days, 0)"
        " FROM unnest(%s::bigint[], %s::bigint[]) k (sequence_id, number)"
        " LEFT JOIN LATERAL next_live_step(k.sequence_id, k.number) n ON true"
        " ORDER BY k.sequence_id, k.number",
        (sequence_id.tolist(), number.tolist()),
    ).fetchall()
    assert found == list(zip(*(column.tolist() for column in columns), strict=True))
    assert any(step for step, _, _ in found)


def test_next_unmailed_step_skips_steps_with_a_live_or_spent_send(world: Any) -> None:
    sequence, mailbox = world.sequence(steps=2), world.mailbox()
    step = world.step_id(sequence, 1)
    now = datetime.now(UTC)
    found = "SELECT step_number, has_row FROM next_unmailed_step(%s, %s, %s::smallint, 1)"
    for status in SendStatus:
        contact = world.enrol(sequence)
        insert_sends(world, [(sequence, contact, step, 1, mailbox, now.date(), now, status)])
        assert world.one(found, sequence, contact, 1) == ((1, True) if status in REUSABLE else (2, False))
        assert world.one(found, sequence, contact, 2) == (1, False)


def test_next_send_is_the_date_that_the_forecast_computes(world: Any) -> None:
    last = np.arange(20_000, 20_005)
    for delay in (0, 1, 2, 36_500):
        dates = next_date(last, np.full(5, delay))
        found = [world.one("SELECT next_send_after(%s, %s)", from_epoch_day(day), delay) for day in last]
        assert [from_epoch_day(day) for day in dates] == found
    assert world.one("SELECT next_send_after(current_date, NULL)") is None  # no step is left


def test_next_free_place_is_the_first_free_cell_of_the_plans_grid(world: Any) -> None:
    chance = Random(2)
    for _ in range(150):
        gap = chance.choice((1, 7, 60, 600, 3601, 86_400))
        mailbox = chance.choice((1, 2, 97, 2**31 - 1))
        opens = 1_780_000_000 + chance.randrange(10 * gap)
        closes = opens + chance.randrange(8 * gap + 1)
        sends = [
            (opens + chance.randrange(-2 * gap, 8 * gap), chance.choice([*LIVE, *SendStatus]))
            for _ in range(chance.randrange(9))
        ]
        world.run("DELETE FROM sends")
        world.run("DELETE FROM mailbox_days")
        grid_from = opens - chance.randrange(gap)
        world.run(
            "INSERT INTO mailbox_days (mailbox_id, send_day, allowed, grid_from) VALUES (%s, %s, 1, %s)",
            *(mailbox, datetime.fromtimestamp(opens, UTC).date(), datetime.fromtimestamp(grid_from, UTC)),
        )
        closes = min(closes, opens + 2 * 86_400)
        times = [datetime.fromtimestamp(at, UTC) for at, _ in sends]
        insert_sends(
            world,
            [(1, n, 1, 1, mailbox, times[n].date(), times[n], status) for n, (_, status) in enumerate(sends)],
        )
        live = sorted(at for at, status in sends if status in LIVE)
        cells = free_cells(gap, grid_from, opens, closes, np.array(live, dtype=np.int64))
        found = world.one(
            "SELECT extract(epoch FROM next_free_place(%s, %s, to_timestamp(%s), to_timestamp(%s)))::bigint",
            *(mailbox, gap, opens, closes),
        )
        assert found == (int(cells[0]) if len(cells) else None)


# The sets of statuses that a statement may list, beside those of states.py.
LISTS = {
    frozenset(SendStatus): "the ledger's constraint",
    LIVE: "states.py",
    SPENT: "states.py",
    REUSABLE: "states.py",
    LIVE - {SendStatus.TRANSMITTING}: "what may be withdrawn",
    LIVE - {SendStatus.PLANNED}: "what a worker may have",
    SPENT | REUSABLE: "what may be archived",
    SPENT | {SendStatus.TRANSMITTING}: "what may have gone out",
    frozenset({SendStatus.SENT, SendStatus.UNKNOWN, SendStatus.TRANSMITTING}): "what a reply may answer",
    frozenset({SendStatus.PLANNED, SendStatus.DISPATCHED}): "what no worker has begun",
    frozenset({SendStatus.CLAIMED, SendStatus.TRANSMITTING}): "an attempt",
    frozenset({SendStatus.SENT, SendStatus.HARD_FAILED}): "an outcome that is known",
    frozenset({SendStatus.HARD_FAILED, SendStatus.UNKNOWN}): "what may need a look",
    frozenset({SendStatus.SENT, SendStatus.UNKNOWN}): "what went out, as far as is known",
}


def test_statuses_that_sql_lists_are_sets_of_the_state_machine() -> None:
    words = {status.value for status in SendStatus}
    listed: dict[frozenset[str], str] = {}
    for file in (*SQL, ROOT / "migrations" / "schema.sql"):
        for text in re.findall(r"\b(?:IN|ARRAY)\s*[(\[]\s*('\w+'[^()\]]*)[)\]]", file.read_text()):
            found = frozenset(re.findall(r"'(\w+)'", text))
            if len(found) > 1 and found <= words:
                listed.setdefault(found, file.name)
    assert {found: file for found, file in listed.items() if found not in LISTS} == {}
    assert set(LISTS) == set(listed)


def parked_for(world: Any, mailbox: int) -> float:
    """Return the seconds from now until the end of the mailbox's parking."""
    return float(
        world.one("SELECT extract(epoch FROM parked_until - now()) FROM mailboxes WHERE id = %s", mailbox)
    )


def test_complaints_that_are_reported_park_their_mailbox_for_the_setting(world: Any, queues: Any) -> None:
    keys = [enter(world), enter(world)]
    mailbox = world.one("SELECT min(id) FROM mailboxes")
    world.run("UPDATE sends SET mailbox_id = %s", mailbox)
    reports = [report("Complaint", key) for key in keys]
    list(queues.delivery_results.send([Outgoing(str(n), json.dumps(body)) for n, body in enumerate(reports)]))
    settings = queues.settings.pipeline.model_copy(update={"park_seconds": 5000})
    with Database(settings).connect() as connection:
        consume_results(connection, queues.delivery_results, settings)
    assert parked_for(world, mailbox) == pytest.approx(5000, abs=60)


def test_unknown_outcomes_that_reconciliation_finds_park_their_mailbox_for_the_setting(world: Any) -> None:
    sequence, mailbox = world.sequence(), world.mailbox()
    then = datetime.now(UTC) - timedelta(hours=1)
    step = world.step_id(sequence, 1)
    contacts = [world.enrol(sequence) for _ in range(3)]
    insert_sends(
        world, [(sequence, c, step, 1, mailbox, then.date(), then, "transmitting") for c in contacts]
    )
    world.run("UPDATE sends SET transmitting_at = send_at")
    settings = world.settings.model_copy(update={"park_seconds": 5000})
    with Database(settings).connect() as connection:
        assert reconcile_ledger(connection, settings)["became_unknown"] == 3
    assert parked_for(world, mailbox) == pytest.approx(5000, abs=60)
