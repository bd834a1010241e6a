"""Tests the planner on a real database."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from sequence_pipelines.planning.planner import Plan, make_plan
from sequence_store.postgres.connection import connect

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
MORNING = datetime(2026, 6, 15, 4, 0, 30, tzinfo=UTC)
TODAY = date(2026, 6, 15)


def test_due_contacts_are_planned_into_their_mailboxes_window(world: Any) -> None:
    box = world.mailbox()
    sequence = world.sequence(mailboxes=(box,))
    contacts = {world.enrol(sequence) for _ in range(20)}
    tomorrow = world.enrol(sequence, next_send=TODAY + timedelta(days=1))
    world.plan()
    rows = world.rows()
    assert {row["contact_id"] for row in rows} == contacts
    assert tomorrow not in contacts
    for row in rows:
        assert row["status"] == "planned"
        assert row["mailbox_id"] == box
        assert (row["due_day"], row["plan_day"], row["send_day"]) == (TODAY, TODAY, TODAY)
        assert datetime(2026, 6, 15, 9, tzinfo=UTC) <= row["send_at"] < datetime(2026, 6, 15, 17, tzinfo=UTC)
        assert row["not_after"] == min(
            row["send_at"] + timedelta(hours=2), datetime(2026, 6, 15, 17, tzinfo=UTC)
        )
    gaps = [(b["send_at"] - a["send_at"]).total_seconds() for a, b in itertools.pairwise(rows)]
    assert max(gaps) < 2 * 8 * 3600 / 20


def test_a_plan_made_again_changes_no_row(world: Any) -> None:
    box = world.mailbox(send_limit=5, min_gap_seconds=600)
    sequence = world.sequence(mailboxes=(box, world.mailbox(send_limit=3)))
    for _ in range(20):
        world.enrol(sequence)
    world.plan()
    before = world.ledger()
    again = world.plan(MORNING + timedelta(minutes=1))
    assert (len(again.placed), again.revoked) == (0, 0)
    assert world.ledger() == before


def test_two_plans_at_once_are_one(world: Any) -> None:
    box = world.mailbox(send_limit=8)
    sequence = world.sequence(mailboxes=(box, world.mailbox(send_limit=3)))
    for _ in range(20):
        world.enrol(sequence)
    with ThreadPoolExecutor(2) as executor:
        both = [executor.submit(world.plan) for _ in range(2)]
        placed = sorted(len(plan.result().placed) for plan in both)
    assert placed == [0, 11]
    assert len(world.rows()) == 11
    before = world.ledger()
    world.plan(MORNING + timedelta(minutes=1))
    assert world.ledger() == before


def test_limits_hold_and_waiting_contacts_have_a_reason(world: Any) -> None:
    box = world.mailbox(send_limit=5)
    sequence = world.sequence(mailboxes=(box,))
    for _ in range(8):
        world.enrol(sequence)
    plan = world.plan()
    assert len(world.rows()) == 5
    assert list(world.reasons().values()) == ["no_capacity"] * 3
    assert len(plan.placed) == 5


def test_follow_ups_come_before_first_mails_and_stay_with_their_mailbox(world: Any) -> None:
    box, other = world.mailbox(send_limit=2), world.mailbox(send_limit=2)
    sequence = world.sequence(mailboxes=(box, other))
    first = [world.enrol(sequence) for _ in range(4)]
    follow = [world.follow_up(sequence, box) for _ in range(3)]
    world.plan()
    on_box = {row["contact_id"] for row in world.rows("mailbox_id = %s", box)}
    assert on_box < set(follow)
    assert {row["contact_id"] for row in world.rows("mailbox_id = %s", other)} < set(first)
    assert sorted(world.reasons().values()) == ["no_capacity", "no_capacity", "pinned_mailbox_full"]


def test_a_contact_gets_one_mail_a_day_over_all_sequences(world: Any) -> None:
    box = world.mailbox()
    low, high = world.sequence(mailboxes=(box,)), world.sequence(mailboxes=(box,), priority=5)
    contact = world.enrol(low)
    world.enrol(high, contact)
    world.plan()
    assert [row["sequence_id"] for row in world.rows()] == [high]
    assert world.reasons() == {contact: "one_mail_a_day"}
    world.finish()
    world.plan(NOON)
    assert len(world.rows()) == 1


def test_contacts_next_candidate_is_planned_if_its_best_one_gets_no_slot(world: Any) -> None:
    full, box = world.mailbox(send_limit=0), world.mailbox()
    low, high = world.sequence(mailboxes=(box,)), world.sequence(mailboxes=(full,), priority=5)
    contact = world.enrol(low)
    world.enrol(high, contact)
    world.plan()
    assert [row["sequence_id"] for row in world.rows()] == [low]


def test_a_late_plan_takes_only_its_share_of_the_days_limit(world: Any) -> None:
    box = world.mailbox(send_limit=80)
    sequence = world.sequence(mailboxes=(box,))
    for _ in range(100):
        world.enrol(sequence)
    world.plan(datetime(2026, 6, 15, 16, 29, tzinfo=UTC))
    assert len(world.rows()) == 5  # half an hour of eight
    assert all(row["send_at"] >= datetime(2026, 6, 15, 16, 30, tzinfo=UTC) for row in world.rows())


def test_max_new_per_day_and_max_first_mails_bound_first_mails_alone(world: Any) -> None:
    box = world.mailbox(max_first_mails=3)
    bounded = world.sequence(mailboxes=(box,), max_new_per_day=1)
    other = world.sequence(mailboxes=(box,))
    for _ in range(4):
        world.enrol(bounded)
        world.enrol(other)
        world.follow_up(other, box)
    world.plan()
    assert len(world.rows("sequence_id = %s", bounded)) == 1
    assert len(world.rows("sequence_id = %s", other)) == 4 + 2
    assert sorted(world.reasons().values()) == ["max_first_mails"] * 2 + ["max_new_per_day"] * 3
    world.finish()
    world.plan(NOON)
    assert len(world.rows()) == 7  # the limits count the mails sent today


def test_revoked_first_mail_lets_the_next_contact_in_within_the_same_plan(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),), max_new_per_day=1)
    first, second = world.enrol(sequence), world.enrol(sequence)
    assert world.plan().placed["contact_id"].tolist() == [first]
    world.run("UPDATE sequences_contacts SET status = 'paused' WHERE contact_id = %s", first)
    assert world.plan().placed["contact_id"].tolist() == [second]


def test_lowered_limit_revokes_the_latest_slots(world: Any) -> None:
    box = world.mailbox(send_limit=10)
    sequence = world.sequence(mailboxes=(box,))
    for _ in range(10):
        world.enrol(sequence)
    world.plan()
    kept = [row["contact_id"] for row in world.rows()][:4]
    world.run("UPDATE mailboxes SET send_limit = 4 WHERE id = %s", box)
    plan = world.plan(MORNING + timedelta(minutes=5))
    assert plan.revoked == 6
    assert [row["contact_id"] for row in world.rows("status = 'planned'")] == kept
    assert {row["reason"] for row in world.rows("status = 'cancelled'")} == {"limit_lowered"}
    assert list(world.reasons().values()) == ["no_capacity"] * 6


def test_a_mailbox_switched_off_gives_its_contacts_to_the_others_and_raises_their_attempt(world: Any) -> None:
    box, other = world.mailbox(), world.mailbox(is_active=False)
    sequence = world.sequence(mailboxes=(box, other))
    for _ in range(5):
        world.enrol(sequence)
    world.follow_up(sequence, box)
    world.plan()
    world.run("UPDATE mailboxes SET is_active = (id = %s)", other)
    world.plan(MORNING + timedelta(minutes=5))
    assert {(row["mailbox_id"], row["status"], row["attempt"]) for row in world.rows()} == {
        (other, "planned", 2)
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE contacts SET is_active = false", "contact_inactive"),
        ("UPDATE sequences_contacts SET status = 'paused'", "enrolment_paused"),
        ("UPDATE sequences SET is_active = false", "sequence_inactive"),
        ("UPDATE steps SET deleted_at = now()", "step_deleted"),
        ("UPDATE mailboxes SET parked_until = now() + interval '100 years'", "mailbox_parked"),
        ("UPDATE mailboxes SET send_days = '{6}'", "window_changed"),
        ("UPDATE mailboxes SET send_start_time = '18:00', send_end_time = '19:00'", "window_changed"),
    ],
)
def test_slot_is_revoked_if_a_gate_closes_or_its_window_moves(world: Any, change: str, reason: str) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),), steps=1)
    world.enrol(sequence)
    world.plan()
    world.run(change)
    assert world.plan(MORNING + timedelta(minutes=5)).revoked == 1
    outcomes = {row["reason"] if row["status"] == "cancelled" else row["status"] for row in world.rows()}
    assert outcomes == {"planned"} if "18:00" in change else {reason}


def test_contact_with_a_suppressed_address_waits_with_the_reason(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),))
    contact = world.enrol(sequence, world.contact(mail_address="Ann@People.example"))
    world.run(
        "INSERT INTO suppressions (address_hmac, reason) VALUES (address_hmac('ann@people.EXAMPLE', %s), "
        "'complaint')",
        world.settings.address_pads,
    )
    world.plan()
    assert world.rows() == []
    assert world.reasons() == {contact: "suppressed"}


def test_bad_rows_wait_with_a_reason_and_all_others_are_planned(world: Any) -> None:
    lost = world.mailbox(time_zone="Europe/Nowhere")
    midnight = world.mailbox(send_start_time="22:00", send_end_time="24:00")
    good = world.sequence(mailboxes=(midnight,))
    fine = world.enrol(good)
    reasons = {
        world.enrol(world.sequence(mailboxes=(lost,))): "mailbox_misconfigured",
        world.enrol(world.sequence()): "no_mailbox",
        world.enrol(good, world.contact(mail_address="not an address")): "invalid_address",
    }
    stepless = world.sequence(steps=0, mailboxes=(midnight,))
    exhausted = world.enrol(stepless)
    world.plan()
    assert [row["contact_id"] for row in world.rows()] == [fine]
    assert world.reasons() == reasons
    assert world.enrolment(stepless, exhausted)["status"] == "completed"


def test_finished_sends_advance_before_the_next_plan(world: Any) -> None:
    box = world.mailbox()
    sequence = world.sequence(steps=2, delay=3, mailboxes=(box,))
    contact = world.enrol(sequence)
    world.plan()
    world.finish()
    plan = world.plan(NOON)
    assert plan.applied.advanced == 1
    enrolment = world.enrolment(sequence, contact)
    assert (
        enrolment["current_step"],
        enrolment["last_send"],
        enrolment["next_send"],
        enrolment["mailbox_id"],
    ) == (
        2,
        TODAY,
        TODAY + timedelta(days=3),
        box,
    )
    world.plan(MORNING + timedelta(days=3))
    world.finish()
    world.plan(MORNING + timedelta(days=3, hours=1))
    assert world.enrolment(sequence, contact)["status"] == "completed"
    assert len(world.rows()) == 2


def test_a_step_mailed_already_is_skipped_when_steps_are_renumbered(world: Any) -> None:
    sequence = world.sequence(steps=2, delay=1, mailboxes=(world.mailbox(),))
    contact = world.enrol(sequence)
    mailed = world.step_id(sequence, 1)
    world.plan()
    world.finish()
    world.plan(NOON)
    world.run("UPDATE steps SET step_number = 9 WHERE id = %s", mailed)
    for day in range(1, 4):
        world.plan(MORNING + timedelta(days=day))
        world.finish()
    world.plan(MORNING + timedelta(days=4))
    assert sorted(row["step_id"] for row in world.rows()) == sorted([mailed, world.step_id(sequence, 2)])
    assert world.enrolment(sequence, contact)["status"] == "completed"


def test_callback_gets_the_plan_that_is_written_last(world: Any) -> None:
    sequence = world.sequence(steps=2, delay=1, mailboxes=(world.mailbox(),))
    world.enrol(sequence)
    mailed = world.step_id(sequence, 1)
    world.plan()
    world.finish()
    world.plan(NOON)
    # The ledger has a row for this step, so the first attempt of the plan that reaches it fails.
    world.run("UPDATE steps SET step_number = 9 WHERE id = %s", mailed)
    seen: list[list[Plan]] = []
    for day in range(1, 5):
        plans: list[Plan] = []
        with connect(world.pipeline_url, name="test planner") as connection:
            plan = make_plan(
                connection, world.settings, MORNING + timedelta(days=day), on_plan_ready=plans.append
            )
        assert plans[-1] is plan
        seen.append(plans)
        world.finish()
    assert sorted(map(len, seen)) == [1, 1, 1, 2]


def test_plan_whose_callback_fails_is_not_written(world: Any) -> None:
    world.enrol(world.sequence(mailboxes=(world.mailbox(),)))

    def fail(plan: Plan) -> None:
        assert len(plan.placed) == 1
        raise ValueError("cannot be drawn")

    with (
        pytest.raises(ValueError, match="cannot be drawn"),
        connect(world.pipeline_url, name="test planner") as connection,
    ):
        make_plan(connection, world.settings, MORNING, on_plan_ready=fail)
    assert world.rows() == []


def test_contacts_of_missed_days_are_planned_today_oldest_first(world: Any) -> None:
    box = world.mailbox(send_limit=3)
    sequence = world.sequence(mailboxes=(box,))
    late = {world.enrol(sequence, next_send=TODAY - timedelta(days=d)) for d in (3, 2, 1)}
    world.enrol(sequence)
    world.plan()
    assert {row["contact_id"] for row in world.rows()} == late
    assert {row["plan_day"] for row in world.rows()} == {TODAY}


def test_expired_send_is_planned_again_with_a_higher_attempt(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),))
    world.enrol(sequence)
    world.plan()
    world.plan(MORNING + timedelta(days=1))
    (row,) = world.rows()
    assert (row["status"], row["attempt"], row["plan_day"]) == ("planned", 2, TODAY + timedelta(days=1))
    assert row["due_day"] == TODAY


def test_unknown_send_holds_its_contact_until_it_settles(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),), delay=0)
    contact = world.enrol(sequence)
    world.plan()
    world.finish("unknown")
    world.plan(NOON)
    assert world.reasons() == {contact: "unknown_outcome"}
    world.plan(MORNING + timedelta(days=2))
    assert len(world.rows()) == 2
    assert world.reasons() == {}


def test_concurrent_plans_make_one_plan(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=7), world.mailbox(send_limit=7)))
    for _ in range(30):
        world.enrol(sequence)
    plans: list[Any] = []
    threads = [threading.Thread(target=lambda: plans.append(world.plan())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(plan.placed) for plan in plans) == [0, 0, 0, 14]
    assert len(world.rows()) == 14


def test_gaps_hold_over_runs_and_days(world: Any) -> None:
    box = world.mailbox(send_limit=500, min_gap_seconds=700, send_start_time="00:00", send_end_time="00:00")
    sequence = world.sequence(mailboxes=(box,))
    for wave in range(4):
        for _ in range(30):
            world.enrol(sequence)
        world.plan(MORNING + timedelta(hours=wave * 7))
    times = [row["send_at"] for row in world.rows()]
    assert len(times) >= 60
    assert min(b - a for a, b in itertools.pairwise(times)) >= timedelta(seconds=700)


def test_mailbox_in_a_distant_time_zone_gets_two_open_intervals(world: Any) -> None:
    box = world.mailbox(time_zone="Pacific/Auckland", send_limit=40)  # 09:00 is 21:00 UTC of the day before
    sequence = world.sequence(mailboxes=(box,))
    for _ in range(60):
        world.enrol(sequence)
    world.plan()
    by_day = {
        day: [r for r in world.rows() if r["send_day"] == day] for day in (TODAY, TODAY + timedelta(days=1))
    }
    assert len(by_day[TODAY]) == 5  # 04:01:30 to 05:00 UTC, in the window that began the evening before
    assert len(by_day[TODAY + timedelta(days=1)]) == 35  # 21:00 to 04:00 UTC: seven of its eight hours
    assert all(row["plan_day"] == TODAY for row in world.rows())


def test_two_spread_plans_fill_each_others_gaps(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=100),))
    for _ in range(20):
        world.enrol(sequence)
    world.plan()
    for _ in range(20):
        world.enrol(sequence)
    world.plan(MORNING + timedelta(minutes=1))
    times = [row["send_at"] for row in world.rows()]
    assert len(times) == 40
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
    assert max(gaps) < 3 * 8 * 3600 / 40


def test_holiday_calendar_closes_only_its_own_mailbox(world: Any) -> None:
    christmas = datetime(2026, 12, 25, 4, 0, 30, tzinfo=UTC)
    closed, box = world.mailbox(holiday_calendar="DE"), world.mailbox()
    waits = world.enrol(world.sequence(mailboxes=(closed,)))
    world.enrol(world.sequence(mailboxes=(box,)))
    world.plan(christmas)
    assert [row["mailbox_id"] for row in world.rows()] == [box]
    assert world.reasons() == {waits: "window_closed"}


def test_contact_of_a_deleted_step_gets_the_next_step_in_the_same_plan(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),), steps=2)
    contact = world.enrol(sequence)
    world.plan()
    second = world.step_id(sequence, 2)
    world.run("UPDATE steps SET deleted_at = now() WHERE sequence_id = %s AND step_number = 1", sequence)
    plan = world.plan(MORNING + timedelta(minutes=5))
    assert (plan.revoked, len(plan.placed)) == (1, 1)
    rows = {row["step_id"]: row["status"] for row in world.rows("contact_id = %s", contact)}
    assert rows[second] == "planned"
    assert sorted(rows.values()) == ["cancelled", "planned"]


def test_contact_enrolled_again_gets_a_row_of_the_new_round_in_the_same_plan(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),), steps=1)
    contact = world.enrol(sequence)
    world.plan()
    world.run("UPDATE sequences_contacts SET round = 2")
    world.plan(MORNING + timedelta(minutes=5))
    rows = {row["round"]: row["status"] for row in world.rows("contact_id = %s", contact)}
    assert rows == {1: "cancelled", 2: "planned"}
