"""Tests plans in rare states: each is made, violates no invariant, and each waiting contact has a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from sequence_pipelines.maintenance.reconcile import reconcile_ledger
from sequence_pipelines.planning.engine.windows import epoch_day
from sequence_pipelines.planning.planner import make_plan
from sequence_pipelines.planning.repository import KEY, PlanRepository
from sequence_pipelines.results.consumer import apply_without_message
from sequence_store.postgres.connection import connect
from sequence_store.postgres.lookback import oldest_unsettled
from tests.pipelines.conftest import MORNING, TODAY

LARGEST = 2**31 - 1


def test_a_contact_that_waits_in_two_sequences_does_not_undo_the_plan_of_all_others(world: Any) -> None:
    """Its mail from the full mailbox cannot be served, so the other is its candidate, before first mails."""
    full, box = world.mailbox(send_limit=0), world.mailbox(send_limit=5)
    one, other = world.sequence(mailboxes=(full,)), world.sequence(mailboxes=(box,))
    contact = world.follow_up(one, full, step=3)
    world.follow_up(other, box, contact=contact)
    for _ in range(9):
        world.enrol(other)
    assert len(world.plan().placed) == 5
    assert world.reasons()[contact] == "one_mail_a_day"
    assert [row["mailbox_id"] for row in world.rows("contact_id = %s", contact)] == [box]


@pytest.mark.parametrize("days_down", [2, 5, 40])
def test_mail_in_progress_during_an_outage_stops_no_plan_and_is_advanced(world: Any, days_down: int) -> None:
    now = (datetime.now(UTC) - timedelta(hours=5)).replace(hour=4, minute=0, second=30)
    stopped = now - timedelta(days=days_down)
    sequence = world.sequence(mailboxes=(world.mailbox(),), delay=0)
    contact = world.enrol(sequence, next_send=stopped.date())
    world.plan(stopped)
    world.run("UPDATE sends SET status = 'transmitting', transmitting_at = send_at")
    with connect(world.pipeline_url, name="test reconcile") as connection:
        assert reconcile_ledger(connection, world.settings)["became_unknown"] == 1
        for day in range(4):
            world.enrol(sequence, next_send=now.date())
            world.plan(now + timedelta(days=day))
            assert world.reasons() == {contact: "unknown_outcome"}
            world.finish()
        world.run("UPDATE sends SET finished_at = now() - interval '25 hours' WHERE status = 'unknown'")
        apply_without_message(connection, world.settings, since=oldest_unsettled(connection, world.settings))
    assert world.enrolment(sequence, contact)["current_step"] == 2


def test_an_outcome_may_take_a_week_to_settle(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),), delay=0)
    contact = world.enrol(sequence)
    world.plan()
    world.finish("unknown")
    for day in range(1, 10):
        world.enrol(sequence)
        world.plan(MORNING + timedelta(days=day), unknown_settles=7 * 86_400)
        world.finish()
    assert world.enrolment(sequence, contact)["current_step"] > 1


def test_a_step_with_the_largest_number_is_mailed_and_completes_the_enrolment(world: Any) -> None:
    sequence = world.sequence(steps=0, mailboxes=(world.mailbox(),))
    world.step(sequence, LARGEST)
    contact = world.enrol(sequence)
    world.plan()
    world.finish()
    world.plan(MORNING + timedelta(hours=8))
    enrolment = world.enrolment(sequence, contact)
    assert (enrolment["status"], enrolment["next_send"]) == ("completed", None)


def test_raised_gap_keeps_existing_slots_and_stops_no_other_contact(world: Any) -> None:
    box = world.mailbox(min_gap_seconds=300)
    sequence = world.sequence(mailboxes=(box,))
    for _ in range(10):
        world.enrol(sequence)
    world.plan()
    before = world.rows()
    world.run("UPDATE mailboxes SET min_gap_seconds = 3600")
    contact = world.enrol(world.sequence(mailboxes=(world.mailbox(),)))
    assert world.plan(MORNING + timedelta(hours=1)).placed["contact_id"].tolist() == [contact]
    assert world.rows("mailbox_id = %s", box) == before


def test_retried_mail_off_the_gaps_grid_stops_no_plan(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(min_gap_seconds=600),))
    for _ in range(30):
        world.enrol(sequence)
    world.plan()
    again, following = world.rows()[3:5]
    retried = following["send_at"] - timedelta(seconds=60)
    world.run(
        "UPDATE sends SET send_at = %s, attempt = 2, reason = 'greylisted' WHERE contact_id = %s",
        retried,
        again["contact_id"],
    )
    world.enrol(sequence)
    plan = world.plan(retried - timedelta(minutes=3))
    at = datetime.fromtimestamp(int(plan.placed["send_at"].iloc[0]), UTC)
    assert all(
        abs(row["send_at"] - at).total_seconds() >= 600 for row in world.rows() if row["send_at"] != at
    )


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Pacific/Auckland", "send_start_time = '16:30', send_end_time = '23:30'"),
        ("Asia/Singapore", "send_start_time = '13:00', send_end_time = '21:00'"),
        ("Asia/Singapore", "time_zone = 'UTC'"),
    ],
)
def test_a_local_days_limit_counts_what_was_sent_before_its_window_was_moved(
    world: Any, zone: str, change: str
) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(time_zone=zone, send_limit=40),))
    for _ in range(200):
        world.enrol(sequence)
    world.plan()
    world.finish()
    world.run(f"UPDATE mailboxes SET {change}")
    world.plan(MORNING + timedelta(days=1))
    by_day = dict(world.connection.execute("SELECT send_day, count(*) FROM sends GROUP BY send_day"))
    assert max(by_day.values()) == 40


def test_mailbox_with_an_unknown_holiday_calendar_sends_nothing(world: Any) -> None:
    box = world.mailbox()
    contact = world.enrol(world.sequence(mailboxes=(box,)))
    world.plan()
    world.run("UPDATE mailboxes SET holiday_calendar = 'Atlantis'")
    world.plan(MORNING + timedelta(minutes=1))
    assert world.reasons() == {contact: "mailbox_misconfigured"}
    assert [row["reason"] for row in world.rows()] == ["window_changed"]


def test_a_follow_up_that_came_with_an_import_uses_up_no_first_mail(world: Any) -> None:
    box = world.mailbox()
    sequence = world.sequence(mailboxes=(box,), max_new_per_day=1)
    world.follow_up(sequence, box)
    world.plan()
    new = world.enrol(sequence)
    assert world.plan(MORNING + timedelta(minutes=1)).placed["contact_id"].tolist() == [new]


def test_a_switched_off_mailbox_is_no_capacity(world: Any) -> None:
    world.mailbox(is_active=False)
    world.mailbox(send_limit=7)
    snapshot = world.plan().snapshot
    assert snapshot.open_intervals["capacity"].tolist() == [7]
    assert snapshot.mailbox_capacity["capacity"].tolist() == [0, 7]


@pytest.mark.parametrize("gap", [0, 60])
def test_windows_that_overlap_at_a_clock_change_share_no_slot(world: Any, gap: int) -> None:
    """In Cairo, midnight of 24 April 2026 does not exist: the previous window ends within the next one."""
    box = world.mailbox(
        time_zone="Africa/Cairo",
        send_start_time="01:15",
        send_end_time="00:30",
        min_gap_seconds=gap,
        send_limit=1500,
    )
    sequence = world.sequence(mailboxes=(box,))
    for _ in range(1600):
        world.enrol(sequence, next_send=date(2026, 4, 1))
    plan = world.plan(datetime(2026, 4, 23, 4, 0, 30, tzinfo=UTC))
    inside = plan.placed.merge(plan.snapshot.open_intervals, on=["mailbox_id", "send_day"])
    assert ((inside["send_at"] >= inside["opens"]) & (inside["send_at"] < inside["closes"])).all()
    first, second = plan.snapshot.open_intervals[["opens", "closes"]].to_numpy().tolist()
    assert first[1] == second[0]
    assert plan.snapshot.windows["ends"].iloc[0] > plan.snapshot.windows["starts"].iloc[1]


def test_row_that_is_dispatched_while_it_is_revoked_stays_dispatched(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),))
    contacts = [world.enrol(sequence) for _ in range(5)]
    world.plan()
    world.run("UPDATE mailboxes SET send_start_time = '12:00'")
    cancel = PlanRepository.cancel

    def dispatch_then_cancel(repository: PlanRepository, rows: pd.DataFrame, reasons: Any) -> pd.DataFrame:
        world.run(
            "UPDATE sends SET status = 'dispatched', dispatched_at = now() WHERE contact_id = %s", contacts[0]
        )
        return cancel(repository, rows, reasons)

    monkeypatch.setattr(PlanRepository, "cancel", dispatch_then_cancel)
    before = world.rows("contact_id = %s", contacts[0])[0]["send_at"]
    plan = world.plan(MORNING + timedelta(minutes=10))
    (row,) = world.rows("contact_id = %s", contacts[0])
    assert (row["status"], row["send_at"]) == ("dispatched", before)
    assert contacts[0] not in plan.placed["contact_id"].tolist()


def test_contact_that_becomes_due_during_a_plan_waits_for_the_next_one(
    world: Any,
) -> None:
    sequence = world.sequence(steps=2, mailboxes=(world.mailbox(send_limit=0),))
    waits = world.enrol(sequence)
    considered = world.plan().candidates[KEY]
    late = world.enrol(sequence)
    world.run("UPDATE steps SET deleted_at = now() WHERE step_number = 1")
    with connect(world.pipeline_url, name="test planner") as connection:
        make_plan(connection, world.settings, MORNING, considered)
    assert world.reasons() == dict.fromkeys([waits, late], "came_later")
    world.plan(MORNING + timedelta(minutes=1))
    assert world.reasons() == dict.fromkeys([waits, late], "no_capacity")


def test_contact_that_the_plan_advances_gets_a_slot_in_it(world: Any) -> None:
    sequence = world.sequence(delay=0, mailboxes=(world.mailbox(),))
    contact = world.enrol(sequence)
    considered = world.plan().candidates[KEY].iloc[:0]
    world.finish()
    with connect(world.pipeline_url, name="test planner") as connection:
        plan = make_plan(connection, world.settings, MORNING + timedelta(days=1), considered)
    assert plan.placed["contact_id"].tolist() == [contact]


def test_a_mailbox_parked_until_long_ago_is_open(world: Any) -> None:
    world.enrol(world.sequence(mailboxes=(world.mailbox(parked_until="-infinity"),)))
    assert len(world.plan().placed) == 1


def test_day_counts_a_contact_whose_slot_was_revoked_once(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=5),))
    for _ in range(8):
        world.enrol(sequence)
    world.plan()
    world.run("UPDATE mailboxes SET send_limit = 2")
    plan = world.plan(MORNING + timedelta(minutes=1))
    with connect(world.pipeline_url, name="test planner") as connection:
        became = PlanRepository(connection, b"").frame("report_day", since=plan.day.begins, day=TODAY)
    assert dict(zip(became["status"], became["sends"], strict=True)) == {"planned": 2}
    assert (plan.waiting["due_day"] == epoch_day(TODAY)).sum() == 6
