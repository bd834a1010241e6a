"""Plans random teams on random days after random changes, and checks the invariants of each plan."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from sequence_pipelines.planning.engine.plan_invariants import find_violations
from sequence_pipelines.planning.engine.windows import from_epoch_day
from sequence_pipelines.planning.planner import Plan
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.snapshot_reader import first_send_day
from sequence_store.postgres.connection import connect

AWKWARD = ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Niue"]
ZONES = sorted(available_timezones())
TABLES = (
    "sends, plan_deferrals, mailbox_days, suppressions, send_events, sequences_contacts, "
    "sequences_mailboxes, steps, contacts, sequences, mailboxes"
)
MAILED = """INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,
        send_day, send_at, not_after, status, transmitting_at, finished_at, advanced_at)
    SELECT %s, %s, %s, 1, %s, d, d, d, d, d, 'sent', d, d, d FROM (SELECT %s::date - 40 AS d) x"""
UNDER_WAY = """(status IN ('planned', 'dispatched', 'claimed', 'transmitting')
    OR (advanced_at IS NULL AND status NOT IN ('cancelled', 'expired')))"""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    now=st.datetimes(datetime(1990, 1, 2), datetime(2037, 12, 20)),  # noqa: DTZ001
)
def test_every_plan_keeps_its_invariants_and_gives_each_contact_a_slot_or_a_reason(
    world: Any, seed: int, now: datetime
) -> None:
    world.run(f"TRUNCATE {TABLES} CASCADE")
    rng = random.Random(seed)
    note((seed, now))
    at = now.replace(tzinfo=UTC)
    insert_team(world, rng, at)
    for _ in range(4):
        plan = world.plan(at)
        assert_correct(world, plan, at)
        for change in rng.sample(CHANGES, 3):
            change(world, rng)
        at += timedelta(minutes=rng.choice([1, 30, 240, 1440, 2000]))


def insert_team(world: Any, rng: random.Random, now: datetime) -> None:
    today = world.settings.calendar.day_of(now)
    mailboxes = tuple(
        world.mailbox(
            send_limit=rng.choice([0, 1, 3, 8, 2**31 - 1]),
            time_zone=rng.choice(rng.choice([AWKWARD, ZONES])),
            send_start_time=f"{rng.randrange(24):02}:{rng.choice([0, 30]):02}",
            send_end_time=f"{rng.randrange(24):02}:{rng.choice([0, 45]):02}",
            send_days=sorted(rng.sample(range(1, 8), rng.randint(3, 7))),
            min_gap_seconds=rng.choice([0, 0, 600]),
            max_first_mails=rng.choice([None, 1]),
            is_active=rng.random() < 0.9,
        )
        for _ in range(rng.randint(1, 4))
    )
    people = [world.contact() for _ in range(12)]
    for _ in range(rng.randint(1, 4)):
        theirs = tuple(rng.sample(mailboxes, rng.randint(1, len(mailboxes))))
        sequence = world.sequence(
            steps=rng.randint(1, 4),
            delay=rng.choice([0, 1, 3]),
            mailboxes=theirs,
            priority=rng.choice([-(2**31), 0, 1, 2**31 - 1]),
            max_new_per_day=rng.choice([None, None, 2]),
        )
        for contact in rng.sample(people, rng.randint(1, 9)):  # a contact in several sequences gets one mail
            due = today - timedelta(days=rng.choice([0, 0, 1, 25, -1]))
            if rng.random() < 0.5:
                world.enrol(sequence, contact, next_send=due)
            else:
                step, mailbox = rng.randint(2, 5), rng.choice(theirs)  # a step that may be beyond the last
                values = {"contact": contact, "step": step, "next_send": due, "last_send": due}
                world.follow_up(sequence, mailbox, **values)
                world.run(MAILED, sequence, contact, world.step_id(sequence, 1), mailbox, due)


def _one(rng: random.Random, world: Any, table: str) -> int:
    return int(rng.choice([row[0] for row in world.connection.execute(f"SELECT id FROM {table}").fetchall()]))


def _set(table: str, assignment: str) -> Callable[[Any, random.Random], None]:
    def change(world: Any, rng: random.Random) -> None:
        world.run(f"UPDATE {table} SET {assignment} WHERE id = %s", _one(rng, world, table))

    return change


def _on_some(statement: str) -> Callable[[Any, random.Random], None]:
    def change(world: Any, rng: random.Random) -> None:
        world.run(statement.format(some=f"(contact_id + {rng.randrange(3)}) %% 3 = 0"))

    return change


def _suppress(world: Any, rng: random.Random) -> None:
    pads = world.settings.address_pads
    world.run(
        "INSERT INTO suppressions (address_hmac, reason) SELECT address_hmac(mail_address, %s), "
        "'unsubscribed' FROM contacts WHERE id = %s ON CONFLICT DO NOTHING",
        pads,
        _one(rng, world, "contacts"),
    )


def _renumber(world: Any, rng: random.Random) -> None:
    world.run(
        "UPDATE steps s SET step_number = n FROM (SELECT %s::integer AS n) x WHERE id = %s AND NOT EXISTS "
        "(SELECT FROM steps o WHERE o.sequence_id = s.sequence_id AND o.step_number = n AND o.deleted_at IS "
        "NULL)",
        rng.choice([1, 2, 5, 9, 2**31 - 1]),
        _one(rng, world, "steps"),
    )


def _enrol_more(world: Any, rng: random.Random) -> None:
    world.run(
        "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) VALUES (%s, %s, '1990-01-01') "
        "ON CONFLICT DO NOTHING",
        _one(rng, world, "sequences"),
        _one(rng, world, "contacts"),
    )


def _unassign(world: Any, rng: random.Random) -> None:
    world.run("DELETE FROM sequences_mailboxes WHERE mailbox_id = %s", _one(rng, world, "mailboxes"))


CHANGES = [
    _renumber,
    _enrol_more,
    _unassign,
    _set("mailboxes", "send_limit = send_limit / 2"),
    _set("mailboxes", "send_limit = least(send_limit, 100) + 2"),
    _set("mailboxes", "min_gap_seconds = 3600"),
    _set("mailboxes", "time_zone = 'Asia/Kathmandu'"),
    _set("mailboxes", "time_zone = 'Europe/Nowhere'"),
    _set("mailboxes", "holiday_calendar = 'Atlantis'"),
    _set("mailboxes", "deleted_at = now()"),
    _set("mailboxes", "is_active = NOT is_active"),
    _set("mailboxes", "parked_until = '2038-01-01', parked_reason = 'sign-in'"),
    _set("mailboxes", "send_start_time = '00:00', send_end_time = '12:00'"),
    _set("sequences", "is_active = NOT is_active"),
    _set("sequences", "deleted_at = now()"),
    _set("contacts", "is_active = NOT is_active"),
    _set("contacts", "deleted_at = now()"),
    _set("steps", "deleted_at = now()"),
    _suppress,
    _on_some("UPDATE sequences_contacts SET status = 'paused' WHERE status = 'active' AND {some}"),
    _on_some("UPDATE sequences_contacts SET status = 'active' WHERE status = 'paused'"),
    _on_some(
        "UPDATE sequences_contacts SET round = round + 1, status = 'active', current_step = 1, mailbox_id = "
        "NULL, last_send = NULL, next_send = '1990-01-01' WHERE status IN ('completed', 'removed') AND "
        "{some}"
    ),
    _on_some("UPDATE sequences_contacts SET status = 'removed' WHERE status = 'active' AND {some}"),
    _on_some("UPDATE sends SET status = 'dispatched', dispatched_at = send_at WHERE status = 'planned' AND "
    "{some}"),
    _on_some("UPDATE sends SET send_at = least(send_at + interval '5 minutes', not_after) WHERE status = "
    "'planned' AND {some}"),
    _on_some(
        "UPDATE sends SET status = 'unknown', transmitting_at = send_at, finished_at = send_at "
        "WHERE status = 'dispatched' AND {some}"
    ),
    _on_some(
        "UPDATE sends SET status = 'sent', transmitting_at = send_at, finished_at = send_at "
        "WHERE status IN ('planned', 'dispatched') AND {some}"
    ),
    _on_some("UPDATE sends SET status = 'expired', reason = 'not_after' WHERE status = 'planned' AND {some}"),
]  # fmt: skip


def assert_correct(world: Any, plan: Plan, now: datetime) -> None:
    with connect(world.pipeline_url, name="test planner") as connection:
        repository = PlanRepository(connection, world.settings.address_pads)
        first_day = from_epoch_day(first_send_day(plan.snapshot.windows, plan.day))
        rows = repository.rows(plan.day.day, plan.snapshot.since, plan.snapshot.earliest, first_day)
    assert not any(find_violations(rows, plan.snapshot, plan.placed, plan.waiting).values())
    in_order = list(rows)
    assert (
        rows.sort_values(in_order, ignore_index=True).to_dict()
        == plan.rows[in_order].sort_values(in_order, ignore_index=True).to_dict()
    )
    without_outcome = world.connection.execute(
        f"""SELECT e.sequence_id, e.contact_id, e.mailbox_id, e.next_send
        FROM sequences_contacts e
        JOIN contacts c ON c.id = e.contact_id AND c.deleted_at IS NULL
        JOIN sequences q ON q.id = e.sequence_id AND q.deleted_at IS NULL
        WHERE e.status = 'active' AND e.next_send <= %s
            AND NOT EXISTS (SELECT FROM plan_deferrals p
                WHERE (p.sequence_id, p.contact_id) = (e.sequence_id, e.contact_id))
            AND NOT EXISTS (SELECT FROM sends s WHERE (s.sequence_id, s.contact_id, s.round)
                = (e.sequence_id, e.contact_id, e.round) AND {UNDER_WAY})""",
        (plan.day.day,),
    ).fetchall()
    until = dict(zip(plan.snapshot.mailboxes["mailbox_id"], plan.snapshot.last_dates, strict=True))
    for *_, mailbox, due in without_outcome:  # a follow-up is due on the last date of its mailbox
        assert mailbox is not None
        assert due == plan.day.day
        assert due > from_epoch_day(min(until.values() if mailbox not in until else [until[mailbox]]))
    twice = world.connection.execute(
        f"SELECT sequence_id, contact_id, round FROM sends WHERE {UNDER_WAY} GROUP BY 1, 2, 3 HAVING "
        "count(*) > 1"
    ).fetchall()
    assert twice == []
    before = world.ledger()
    again = world.plan(now)
    assert again.revoked == 0, again.seconds
    assert again.placed.empty, again.placed.to_dict("records")
    assert world.ledger() == before
