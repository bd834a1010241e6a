"""The distance between two mails, on a real database: dates of mailboxes, changed steps and zones."""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sequence_pipelines.maintenance.invariants import Invariant
from sequence_pipelines.planning.certificate import prove_latest_plan
from sequence_pipelines.planning.forecast import forecast
from sequence_pipelines.planning.repository import PlanRepository
from sequence_store.postgres.connection import connect
from tests.history import find_violations, record_history
from tests.pipelines.conftest import MORNING, TODAY

DAYS = int(os.environ.get("SIMULATED_DAYS", "4"))
ZONES = [
    ("Asia/Tokyo", "09:00", "17:00"),
    ("Australia/Sydney", "09:00", "17:00"),
    ("Asia/Kolkata", "09:00", "17:00"),
    ("America/Los_Angeles", "09:00", "17:00"),
    ("Europe/Berlin", "09:00", "17:00"),
    ("Pacific/Auckland", "09:00", "17:00"),
    ("Australia/Lord_Howe", "09:00", "17:00"),
    ("UTC", "00:00", "00:00"),
    ("Europe/Berlin", "22:00", "06:00"),
]
BEFORE_THE_CHANGE = datetime(2026, 10, 19, 4, 0, 30, tzinfo=UTC)  # Berlin's clock goes back on the 25th


def pass_day(world: Any, now: datetime) -> Any:
    """Plan a day, and let everything be sent at its second."""
    plan = world.plan(now)
    world.finish()
    return plan


def dates_of(world: Any, contact: int) -> list[date]:
    return [row["send_day"] for row in world.rows("contact_id = %s AND status = 'sent'", contact)]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_one_day_of_delay_is_the_next_date_of_the_mailbox(world: Any, zone: str) -> None:
    box = world.mailbox(time_zone=zone)
    sequence = world.sequence(steps=3, delay=1, mailboxes=(box,))
    contacts = [world.enrol(sequence) for _ in range(30)]
    for day in range(5):
        pass_day(world, MORNING + timedelta(days=day))
    for contact in contacts:
        first, second, third = dates_of(world, contact)
        assert (second - first, third - second) == (timedelta(days=1), timedelta(days=1))


def test_delay_of_zero_is_the_next_date_and_current_step_is_the_mailed_one_and_one(world: Any) -> None:
    sequence = world.sequence(steps=2, delay=0, mailboxes=(world.mailbox(),))
    contact = world.enrol(sequence)
    pass_day(world, MORNING)
    world.plan(MORNING + timedelta(hours=12))
    enrolment = world.enrolment(sequence, contact)
    assert (enrolment["current_step"], enrolment["last_send"]) == (2, TODAY)
    assert (enrolment["next_send"], enrolment["last_offset"]) == (TODAY + timedelta(days=1), 0)
    assert world.reasons() == {}


def test_raised_delay_revokes_the_planned_follow_up_and_a_lowered_one_brings_it_back(world: Any) -> None:
    box = world.mailbox()
    sequence = world.sequence(steps=2, delay=2, mailboxes=(box,))
    contact = world.enrol(sequence)
    pass_day(world, MORNING)
    due = MORNING + timedelta(days=2)
    world.plan(due)
    world.run("UPDATE steps SET delay_days = 5 WHERE step_number = 2")
    assert world.one("SELECT steps_changed_at IS NOT NULL FROM sequences")
    assert world.plan(due + timedelta(minutes=1)).revoked == 1
    (row,) = world.rows("status = 'cancelled'")
    assert row["reason"] == "delay_changed"
    assert world.enrolment(sequence, contact)["next_send"] == TODAY + timedelta(days=5)
    assert world.one("SELECT steps_changed_at IS NULL FROM sequences")
    world.run("UPDATE steps SET delay_days = 1 WHERE step_number = 2")
    assert len(world.plan(due + timedelta(minutes=2)).placed) == 1


def test_gate_of_a_raised_delay_is_read_by_the_claim(world: Any) -> None:
    box = world.mailbox()
    sequence = world.sequence(steps=2, delay=2, mailboxes=(box,))
    contact = world.enrol(sequence)
    pass_day(world, MORNING)
    world.plan(MORNING + timedelta(days=2))
    gate = "SELECT closed_gate(s, %s) FROM sends s WHERE s.status = 'planned'"
    assert world.one(gate, world.settings.address_pads) is None
    world.run("UPDATE sequences_contacts SET next_send = next_send + 3 WHERE contact_id = %s", contact)
    assert world.one(gate, world.settings.address_pads) == "delay_changed"


def test_inserted_step_reaches_who_has_not_passed_it_and_a_deleted_one_takes_its_delay(world: Any) -> None:
    sequence = world.sequence(steps=1, mailboxes=(world.mailbox(),))
    world.step(sequence, 5, delay_days=9)
    contact = world.enrol(sequence)
    pass_day(world, MORNING)
    pass_day(world, MORNING + timedelta(hours=12))
    assert world.enrolment(sequence, contact)["next_send"] == TODAY + timedelta(days=9)
    inserted = world.step(sequence, 3, delay_days=2)
    pass_day(world, MORNING + timedelta(days=2))
    assert [row["step_id"] for row in world.rows("send_day > %s", TODAY)] == [inserted]
    world.run("UPDATE steps SET deleted_at = now() WHERE step_number = 5")
    pass_day(world, MORNING + timedelta(days=12))
    assert world.enrolment(sequence, contact)["status"] == "completed"


def test_mail_of_another_sequence_shuts_the_date_on_this_mailboxs_clock(world: Any) -> None:
    """In Tokyo the date goes on in the next planning day: another sequence may not mail on it again."""
    box = world.mailbox(time_zone="Asia/Tokyo", send_limit=400)
    first = world.sequence(steps=1, mailboxes=(box,))
    contacts = [world.enrol(first) for _ in range(10)]
    late = datetime(2026, 6, 15, 8, 30, tzinfo=UTC)  # this date's window is over: the next date's is planned
    pass_day(world, late)
    second = world.sequence(steps=1, mailboxes=(box,))
    for contact in contacts:
        world.enrol(second, contact, next_send=TODAY + timedelta(days=1))
    assert len(pass_day(world, MORNING + timedelta(days=1)).placed) == 0
    assert set(world.reasons().values()) == {"one_mail_a_day"}
    pass_day(world, MORNING + timedelta(days=2))
    for contact in contacts:
        one, two = dates_of(world, contact)
        assert two > one


def test_first_mails_may_take_what_the_last_mail_of_a_waiting_contact_shuts(world: Any) -> None:
    """The other mailbox's mail has this date on Tokyo's clock, so the contacts may use the next date only."""
    other, tokyo = world.mailbox(send_start_time="00:00", send_end_time="02:00"), None
    tokyo = world.mailbox(time_zone="Asia/Tokyo", send_limit=8)
    elsewhere = world.sequence(steps=1, mailboxes=(other,))
    here, fresh = world.sequence(steps=2, mailboxes=(tokyo,)), world.sequence(mailboxes=(tokyo,))
    contacts = [world.enrol(elsewhere) for _ in range(6)]
    pass_day(world, MORNING)
    assert all(row["send_at"].date() == TODAY + timedelta(days=1) for row in world.rows())
    for contact in contacts:
        world.follow_up(here, tokyo, contact=contact, next_send=TODAY + timedelta(days=1))
    for _ in range(9):
        world.enrol(fresh)
    plan = world.plan(MORNING + timedelta(days=1))
    by_date = plan.placed.groupby("send_day")["follow_up"].agg(["sum", "size"]).to_numpy().tolist()
    assert by_date == [[0, 4], [4, 4]]
    assert sorted(world.reasons().values()) == ["later_today"] * 2 + ["no_capacity"] * 5


def test_full_piece_of_a_date_that_goes_on_is_a_reason_of_its_own(world: Any) -> None:
    box = world.mailbox(time_zone="Asia/Tokyo", send_limit=2)
    sequence = world.sequence(steps=2, mailboxes=(box,))
    for _ in range(6):
        world.follow_up(sequence, box, next_send=TODAY + timedelta(days=1))
    world.plan(datetime(2026, 6, 15, 8, 30, tzinfo=UTC))
    assert set(world.reasons().values()) == {"later_today"}


def test_moved_follow_up_keeps_the_distance_by_the_clock_of_its_last_mail(world: Any) -> None:
    tokyo = world.mailbox(time_zone="Asia/Tokyo")
    other = world.mailbox(time_zone="America/Los_Angeles")
    sequence = world.sequence(steps=2, delay=1, mailboxes=(tokyo,))
    contact = world.enrol(sequence)
    pass_day(world, MORNING)
    world.run("INSERT INTO sequences_mailboxes VALUES (%s, %s)", sequence, other)
    world.run("UPDATE mailboxes SET is_active = false WHERE id = %s", tokyo)
    for day in range(1, 4):
        pass_day(world, MORNING + timedelta(days=day))
    one, two = world.rows("contact_id = %s", contact)
    midnight = datetime.combine(
        one["send_day"] + timedelta(days=1), datetime.min.time(), ZoneInfo("Asia/Tokyo")
    )
    assert two["mailbox_id"] == other
    assert two["send_at"] >= midnight


def test_latest_plan_is_proven_from_the_tables_and_a_withheld_place_is_found(world: Any) -> None:
    full, free = world.mailbox(send_limit=3, max_first_mails=2), world.mailbox(send_limit=4)
    sequence = world.sequence(mailboxes=(full,), max_new_per_day=1)
    other = world.sequence(mailboxes=(full, free))
    for _ in range(6):
        world.enrol(sequence)
        world.enrol(other)
        world.follow_up(other, full)
    world.plan()
    with connect(world.pipeline_url, name="test proof") as connection:
        proof = prove_latest_plan(connection, world.settings)
        assert proof.classes
        assert all(one.is_largest and one.served == one.bound for one in proof.classes)
    world.run("DELETE FROM sends WHERE mailbox_id = %s", free)
    world.run(
        "INSERT INTO plan_deferrals SELECT sequence_id, contact_id, %s, 'no_capacity' "
        "FROM sequences_contacts e "
        "WHERE NOT EXISTS (SELECT FROM sends s WHERE s.contact_id = e.contact_id) ON CONFLICT DO NOTHING",
        TODAY,
    )
    with connect(world.pipeline_url, name="test proof") as connection:
        proof = prove_latest_plan(connection, world.settings)
        assert not proof.holds
    world.run("UPDATE mailboxes SET send_limit = 5 WHERE id = %s", free)
    with connect(world.pipeline_url, name="test proof") as connection:
        proof = prove_latest_plan(connection, world.settings)
        assert (proof.holds, proof.changed_since) == (True, 1)


def test_proof_of_a_plan_that_is_made_again_holds_also_after_a_place_is_given_up(world: Any) -> None:
    box = world.mailbox(send_limit=3)
    sequence = world.sequence(mailboxes=(box,))
    contacts = [world.enrol(sequence) for _ in range(6)]
    world.plan()
    world.plan(MORNING + timedelta(hours=1))
    gone = world.rows()[0]["contact_id"]
    world.run("UPDATE sends SET status = 'cancelled', reason = 'suppressed' WHERE contact_id = %s", gone)
    world.run("UPDATE contacts SET is_active = false WHERE id = %s", gone)
    with connect(world.pipeline_url, name="test proof") as connection:
        proof = prove_latest_plan(connection, world.settings)
    (proven,) = proof.classes
    assert (proven.served, proven.lost, proven.bound, proven.is_largest) == (2, 1, 3, True)
    assert len(contacts) == 6


def test_ramp_up_that_rises_within_a_date_leaves_what_the_date_allows(world: Any) -> None:
    """In Tokyo a date's hours fall into two planning days; the date before is over in the second one."""
    box = world.mailbox(
        time_zone="Asia/Tokyo",
        send_limit=200,
        ramp_up_start=4,
        ramp_up_daily_increment=20,
        ramp_up_started=TODAY - timedelta(days=1),
    )
    sequence = world.sequence(mailboxes=(box,))
    for _ in range(300):
        world.enrol(sequence)
    for day in range(4):
        pass_day(world, MORNING + timedelta(days=day))
        world.run(
            "UPDATE mailbox_days d SET used = (SELECT count(*) FROM sends s WHERE s.status = 'sent' "
            "AND (s.mailbox_id, s.send_day) = (d.mailbox_id, d.send_day))"
        )
    by_date = world.connection.execute(
        "SELECT d.allowed, count(s) FROM mailbox_days d LEFT JOIN sends s USING (mailbox_id, send_day) "
        "GROUP BY d.send_day, d.allowed ORDER BY d.send_day"
    ).fetchall()
    assert all(sent <= allowed for allowed, sent in by_date)
    assert by_date[0][0] == 4
    assert by_date[-1][0] > by_date[0][0]


def test_simulated_days_keep_the_distance_lose_no_day_and_are_what_the_forecast_said(world: Any) -> None:
    """Ten zones with daylight saving, weekends, a late plan, a changed zone and a moved follow-up."""
    record_history(world.connection)
    boxes = [
        world.mailbox(time_zone=zone, send_start_time=start, send_end_time=end, send_limit=60)
        for zone, start, end in ZONES
    ]
    weekdays = world.mailbox(time_zone="Europe/Berlin", send_days="{1,2,3,4,5}", send_limit=60)
    boxes.append(weekdays)
    today = BEFORE_THE_CHANGE.date()
    sequences = [
        world.sequence(steps=4, delay=delay, mailboxes=(box,))
        for delay, box in zip([1, 2, 3] * 4, boxes, strict=False)
    ]
    for sequence in sequences:
        for _ in range(3):
            world.enrol(sequence, next_send=today)
    changed, moved = DAYS // 2, DAYS // 3
    told: list[Any] = []
    for day in range(DAYS):
        now = BEFORE_THE_CHANGE + timedelta(days=day, hours=5 if day == changed + 1 else 0)
        if day == changed:
            world.run("UPDATE mailboxes SET time_zone = 'America/New_York' WHERE id = %s", boxes[4])
        if day == moved:
            world.run("INSERT INTO sequences_mailboxes VALUES (%s, %s)", sequences[0], boxes[3])
            world.run("UPDATE mailboxes SET is_active = false WHERE id = %s", boxes[0])
        if day in (0, max(changed, moved) + 2):
            with connect(world.pipeline_url, name="test forecast") as connection:
                repository = PlanRepository(connection, world.settings.address_pads)
                told = [
                    (day + n, one.planned)
                    for n, one in enumerate(forecast(repository, world.settings, now, DAYS))
                ]
                connection.rollback()
        plan = pass_day(world, now)
        if day not in (changed, changed + 1, moved) and (
            day < min(changed, moved) or day > max(changed, moved) + 1
        ):
            assert dict(told).get(day) == len(plan.placed)
    assert_distances(world)
    assert_no_day_lost(world, boxes[3], {boxes[0], boxes[4], weekdays})
    found = find_violations(world.connection, world.settings, None)
    second = [one for one in found if one.invariant is Invariant.LIMITS_AND_GAPS and "second" in one.message]
    assert second == []


def assert_distances(world: Any) -> None:
    """No two mails of an enrolment are nearer than the delay, by dates of a mailbox or midnights."""
    zones = dict(world.connection.execute("SELECT id, time_zone FROM mailboxes").fetchall())
    delays = dict(world.connection.execute("SELECT id, greatest(delay_days, 1) FROM steps").fetchall())
    mails = defaultdict(list)
    for row in world.rows("status = 'sent'"):
        mails[row["sequence_id"], row["contact_id"]].append(row)
    assert mails
    for rows in mails.values():
        for before, after in pairwise(rows):
            delay = delays[after["step_id"]]
            if before["mailbox_id"] == after["mailbox_id"]:
                apart = (after["send_day"] - before["send_day"]).days
                assert apart >= delay or zones[after["mailbox_id"]] == "America/New_York"
            assert after["send_at"] - before["send_at"] > timedelta(days=delay - 1)


def assert_no_day_lost(world: Any, late: int, changed: set[int]) -> None:
    """Each follow-up leaves on its date; a day later at most where a planning day holds two dates.

    `late` opens after the planning day begins and closes before it ends, so its planning days have one date.
    """
    delays = dict(world.connection.execute("SELECT id, greatest(delay_days, 1) FROM steps").fetchall())
    rows = world.connection.execute(
        "SELECT mailbox_id, step_id, send_day - lag(send_day) OVER (PARTITION BY sequence_id, contact_id "
        "ORDER BY send_day) FROM sends WHERE status = 'sent'"
    ).fetchall()
    for mailbox, step, apart in rows:
        if apart is not None and mailbox not in changed:
            assert apart - delays[step] in ((0,) if mailbox == late else (0, 1))
