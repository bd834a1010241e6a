"""Tests the forecast: if every mail is sent, each day's forecast equals the plan of that day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from sequence_pipelines.assets.send_forecast import ForecastConfig
from sequence_pipelines.planning.forecast import (
    ForecastDay,
    forecast,
    summarise_mailboxes,
    summarise_sequences,
)
from sequence_pipelines.planning.planner import Plan
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.scenario import MOST_ADDED, MOST_MAILS, WhatIf
from sequence_pipelines.reporting.metadata import forecast_metadata
from tests.pipelines.conftest import MORNING, TODAY
from tests.pipelines.test_stopped import HOLD, close

pytestmark = pytest.mark.usefixtures("world")


def make_forecast(world: Any, days: int = 7, now: Any = MORNING, **changes: Any) -> list[ForecastDay]:
    from sequence_store.postgres.connection import connect

    with connect(world.pipeline_url, name="test forecast") as connection:
        repository = PlanRepository(connection, world.settings.address_pads)
        found = list(forecast(repository, world.settings, now, days, WhatIf(**changes)))
        connection.rollback()
    return found


def metadata_of(world: Any, days: int, now: Any = MORNING, **changes: Any) -> dict[str, Any]:
    """Return a forecast's metadata in Dagster; tables as lists of rows."""
    days_ahead = make_forecast(world, days, now, **changes)
    values = forecast_metadata(days_ahead, ForecastConfig(days=days, **changes).model_dump())
    return {
        name: [row.data for row in value.records]
        if hasattr(value, "records")
        else getattr(value, "value", value)
        for name, value in values.items()
    }


def count_reasons(plan: Plan) -> dict[str, int]:
    """Count the waiting contacts of a plan by reason."""
    return plan.waiting["reason"].value_counts().loc[lambda n: n > 0].to_dict()


def full_team(world: Any) -> tuple[int, int]:
    """Insert two mailboxes, one of them in a distant time zone, and 60 enrolments; return the sequences."""
    boxes = (
        world.mailbox(send_limit=10),
        world.mailbox(
            send_limit=10, time_zone="Pacific/Auckland", send_start_time="00:00", send_end_time="23:00"
        ),
    )
    sequence = world.sequence(mailboxes=boxes, steps=3, delay=2)
    other = world.sequence(mailboxes=boxes[:1], steps=2, delay=1, max_new_per_day=4)
    for _ in range(40):
        world.enrol(sequence)
    for n in range(20):
        world.enrol(other, next_send=TODAY + timedelta(days=n % 3))
    return sequence, other


def test_forecast_of_each_day_equals_the_plan_of_that_day(world: Any) -> None:
    full_team(world)
    forecasts = make_forecast(world, days=10)
    for n, day in enumerate(forecasts):
        plan = world.plan(MORNING + timedelta(days=n))
        assert day.day == TODAY + timedelta(days=n)
        assert (day.planned, day.capacity) == (
            len(plan.placed),
            int(plan.snapshot.mailbox_capacity["capacity"].sum()),
        )
        assert day.first_mails == int((~plan.placed["follow_up"].astype(bool)).sum())
        by_mailbox = day.mailboxes.set_index("mailbox_id")
        assert by_mailbox["planned"].sum() == day.planned
        placed = plan.placed["mailbox_id"].value_counts()
        assert by_mailbox["planned"].loc[lambda n: n > 0].sort_index().to_dict() == placed.to_dict()
        full = day.waiting.reindex(["pinned_mailbox_full", "later_today"]).sum()
        assert by_mailbox["waiting"].sum() == full
        assert day.waiting.to_dict() == plan.waiting["reason"].value_counts().loc[lambda n: n > 0].to_dict()
        world.finish()
    assert sum(day.planned for day in forecasts) > 100


def test_forecast_writes_nothing(world: Any) -> None:
    full_team(world)
    before = world.ledger()
    make_forecast(world)
    assert world.ledger() == before


def test_mails_in_progress_count_as_sent_today(world: Any) -> None:
    full_team(world)
    fresh = make_forecast(world)
    world.plan()
    again = make_forecast(world, now=MORNING + timedelta(minutes=1))
    assert again[0].planned == 0
    assert [d.already_planned for d in again] == [fresh[0].planned] + [0] * 6
    assert [d.planned for d in again[1:]] == [d.planned for d in fresh[1:]]


def test_mails_sent_today_count_as_already_planned(world: Any) -> None:
    full_team(world)
    planned = len(world.plan().placed)
    world.finish(where="mailbox_id = (SELECT min(id) FROM mailboxes)")
    days = metadata_of(world, 2, MORNING + timedelta(minutes=1))["days"]
    assert [day["already_planned"] for day in days] == [planned, 0]


def test_forecast_frees_the_first_mail_of_a_paused_contact_as_the_plan_does(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(max_first_mails=8),))
    for _ in range(28):
        world.enrol(sequence)
    world.plan()
    world.run(
        "UPDATE sequences_contacts SET status = 'paused' WHERE contact_id IN (SELECT contact_id FROM sends "
        "LIMIT 3)"
    )
    now = MORNING + timedelta(minutes=1)
    (day,) = make_forecast(world, days=1, now=now)
    assert day.planned == len(world.plan(now).placed) == 3


def test_each_mailbox_shows_how_many_of_its_own_follow_ups_wait(world: Any) -> None:
    full, empty = world.mailbox(send_limit=3), world.mailbox(send_limit=3)
    sequence = world.sequence(mailboxes=(full, empty), steps=2)
    for _ in range(8):
        world.follow_up(sequence, full)
    days = make_forecast(world, days=3)
    assert [d.mailboxes.set_index("mailbox_id")["waiting"].to_dict() for d in days] == [
        {full: 5, empty: 0},
        {full: 2, empty: 0},
        {full: 0, empty: 0},
    ]
    summary = summarise_mailboxes(days).set_index("mailbox_id")
    assert summary.loc[full].to_dict() == {
        "planned": 8,
        "most_waiting": 5,
        "capacity": 9,
        "utilisation": 0.8889,
    }


def test_added_mailboxes_empty_the_queues_sooner(world: Any) -> None:
    sequence, _ = full_team(world)
    world.mailbox(holiday_calendar="DE", send_limit=1)  # most mailboxes have no calendar
    as_it_is = summarise_sequences(make_forecast(world, days=14)).set_index("sequence_id")
    with_more = summarise_sequences(make_forecast(world, days=14, add_mailboxes=3, limit=60)).set_index(
        "sequence_id"
    )
    assert with_more.loc[sequence, "queue_empty_on"] == TODAY
    assert as_it_is.loc[sequence, "queue_empty_on"] > date(2026, 6, 18)
    assert with_more["most_waiting"].sum() < as_it_is["most_waiting"].sum()


def test_a_limit_alone_is_tried_on_every_mailbox(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(), world.mailbox()))
    for _ in range(20):
        world.enrol(sequence)
    assert make_forecast(world, days=1, limit=3)[0].planned == 6


def test_limit_of_first_mails_evens_out_an_overload(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=30),), steps=3, delay=3)
    for _ in range(600):
        world.enrol(sequence)
    free = [d.first_mails for d in make_forecast(world, days=12)]
    bound = [d.first_mails for d in make_forecast(world, days=12, max_first_mails=10)]
    assert min(free) == 0
    assert max(free) == 30
    assert set(bound) == {10}


def test_limit_of_first_mails_counts_those_of_today(world: Any) -> None:
    box = world.mailbox(send_limit=5)
    sequence = world.sequence(mailboxes=(box,), steps=1)
    for _ in range(30):
        world.enrol(sequence)
    world.plan()
    world.run("UPDATE mailboxes SET send_limit = 50")
    later = MORNING + timedelta(minutes=1)
    assert [d.first_mails for d in make_forecast(world, 3, later, max_first_mails=5)] == [0, 5, 5]
    assert [d.first_mails for d in make_forecast(world, 3, later, max_first_mails=8)] == [3, 8, 8]
    world.run("UPDATE mailboxes SET max_first_mails = 8")
    assert len(world.plan(later).placed) == 3


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE mailboxes SET send_limit = 3",
        "UPDATE mailboxes SET is_active = false WHERE id = (SELECT min(id) FROM mailboxes)",
        "UPDATE mailboxes SET send_start_time = '12:00', send_end_time = '12:40', max_first_mails = 4",
        "UPDATE sequences_contacts SET status = 'paused' WHERE mod(contact_id, 3) = 0",
        "UPDATE contacts SET is_active = false WHERE mod(id, 3) = 0",
        "UPDATE sequences SET max_new_per_day = 2",
    ],
)
def test_forecast_revokes_the_slots_that_the_next_plan_revokes(world: Any, change: str) -> None:
    full_team(world)
    world.plan()
    world.run(change)
    later = MORNING + timedelta(minutes=1)
    day, *_ = make_forecast(world, days=2, now=later)
    held = len(world.rows("status = 'planned'"))
    plan = world.plan(later)
    assert day.already_planned == held - plan.revoked
    assert day.planned == len(plan.placed)
    assert day.waiting.to_dict() == count_reasons(plan)


def test_forecast_with_a_lower_limit_revokes_slots(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=10),), steps=1)
    for _ in range(10):
        world.enrol(sequence)
    world.plan()
    days = make_forecast(world, 4, MORNING + timedelta(minutes=1), limit=4)
    assert [d.already_planned + d.planned for d in days] == [4, 4, 2, 0]


@pytest.mark.parametrize(
    ("field", "most"), [("add_mailboxes", MOST_ADDED), ("limit", MOST_MAILS), ("max_first_mails", MOST_MAILS)]
)
def test_forecast_config_rejects_numbers_above_its_bounds(field: str, most: int) -> None:
    assert getattr(ForecastConfig(**{field: most}), field) == most
    with pytest.raises(ValidationError, match="less than or equal"):
        ForecastConfig(**{field: most + 1})


def test_contact_that_may_not_be_mailed_is_in_no_queue(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),), steps=1)
    world.enrol(sequence)
    world.enrol(sequence, world.contact(is_active=False))
    days = make_forecast(world, days=3)
    assert days[2].waiting.to_dict() == {"contact_inactive": 1}
    assert (days[2].wait_for_capacity, days[2].wait_otherwise, days[2].not_to_be_mailed) == (0, 0, 1)
    assert summarise_sequences(days).iloc[0][["most_waiting", "queue_empty_on"]].tolist() == [0, TODAY]


@pytest.mark.parametrize("reason", ["opt_out_unverified", "company_stopped"])
def test_stopped_contact_is_in_no_queue_of_the_forecast(world: Any, reason: str) -> None:
    world.enrol(world.sequence(mailboxes=(world.mailbox(),)))
    close(world, reason)
    days = make_forecast(world, days=2)
    assert [day.waiting.to_dict() for day in days] == [{reason: 1}] * 2
    assert [(day.not_to_be_mailed, day.wait_otherwise) for day in days] == [(1, 0)] * 2


def test_forecast_mails_a_contact_after_its_last_held_date_as_the_plan_does(world: Any) -> None:
    world.enrol(world.sequence(mailboxes=(world.mailbox(),), steps=1))
    world.run(HOLD, TODAY, TODAY + timedelta(days=1))
    days = make_forecast(world, days=3)
    assert [(day.planned, day.waiting.to_dict()) for day in days] == [(0, {"away": 1})] * 2 + [(1, {})]
    assert [day.wait_otherwise for day in days] == [1, 1, 0]
    plans = [world.plan(MORNING + timedelta(days=n)) for n in range(3)]
    assert [len(plan.placed) for plan in plans] == [day.planned for day in days]


def test_follow_up_on_a_closed_day_of_its_mailbox_does_not_wait_for_capacity(world: Any) -> None:
    weekdays = world.mailbox(send_days="{1,2,3,4,5}")
    sequence = world.sequence(mailboxes=(weekdays,), steps=2, delay=5)
    world.enrol(sequence)
    for count in (5, 6, 7, 8, 14):  # its follow-up falls due on a Saturday, the sixth day
        days = make_forecast(world, days=count)
        assert summarise_sequences(days).iloc[0][["most_waiting", "queue_empty_on"]].tolist() == [0, TODAY]
    assert days[5].waiting.to_dict() == {"window_closed": 1}
    assert (days[5].wait_for_capacity, days[5].wait_otherwise, days[5].not_to_be_mailed) == (0, 1, 0)


def test_queue_lasts_over_a_weekend_without_windows(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=2, send_days="{1,2,3,4,5}"),), steps=1)
    for _ in range(12):
        world.enrol(sequence)
    for count in (5, 6, 7):
        assert summarise_sequences(make_forecast(world, days=count))["queue_empty_on"].tolist() == [None]
    assert summarise_sequences(make_forecast(world, days=9))["queue_empty_on"].tolist() == [date(2026, 6, 22)]


def test_metadata_says_if_a_queue_is_not_empty_by_the_last_day(world: Any) -> None:
    waits, done = full_team(world)
    ends = {
        days: {row["sequence_id"]: row["queue_empty_on"] for row in metadata_of(world, days)["queues"]}
        for days in (1, 3, 14)
    }
    assert ends[1] == {waits: "not in these days", done: "not in these days"}
    assert ends[3][waits] == "not in these days"
    assert ends[14][waits].startswith("2026-06-")


def test_metadata_splits_waiting_contacts_by_cause(world: Any) -> None:
    full_team(world)
    sequence = world.sequence(mailboxes=(world.mailbox(send_days="{7}"),))
    world.enrol(sequence)
    world.enrol(sequence, world.contact(is_active=False))
    (day,) = metadata_of(world, 1)["days"]
    assert (day["wait_otherwise"], day["not_to_be_mailed"]) == (1, 1)
    assert day["waiting"] == day["wait_for_room"] + 2


def test_metadata_shows_the_config_of_a_forecast(world: Any) -> None:
    full_team(world)
    config = metadata_of(world, 2, max_first_mails=3)["what_if"]
    assert config == {"days": 2, "add_mailboxes": 0, "limit": None, "max_first_mails": 3}


def test_forecast_without_enrolments_and_mailboxes_is_empty(world: Any) -> None:
    days = make_forecast(world, days=3, add_mailboxes=2)
    assert [(d.due, d.planned, d.capacity, d.utilisation) for d in days] == [(0, 0, 0, 0.0)] * 3
    assert summarise_sequences(days).empty
