"""The forecast is the plan, made ahead: what it says of each day is what is planned on that day, if all goes well."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from sequence_pipelines.assets.send_forecast import ForecastConfig, describe
from sequence_pipelines.planning.forecast import (
    ForecastDay,
    forecast,
    summarise_mailboxes,
    summarise_sequences,
)
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.scenario import MOST_ADDED, MOST_MAILS, WhatIf
from tests.pipelines.conftest import MORNING, TODAY

pytestmark = pytest.mark.usefixtures("world")


def foretell(world: Any, days: int = 7, now: Any = MORNING, **changes: Any) -> list[ForecastDay]:
    from sequence_store.postgres.connection import connect

    with connect(world.pipeline_url, name="test forecast") as connection:
        ledger = PlanRepository(connection, world.settings.address_pads)
        found = list(forecast(ledger, world.settings, now, days, WhatIf(**changes)))
        connection.rollback()
    return found


def shown(world: Any, days: int, now: Any = MORNING, **changes: Any) -> dict[str, Any]:
    """Return a forecast's metadata in Dagster, tables as their rows."""
    told = foretell(world, days, now, **changes)
    told_of = describe(told, ForecastConfig(days=days, **changes))
    return {
        name: [row.data for row in value.records]
        if hasattr(value, "records")
        else getattr(value, "value", value)
        for name, value in told_of.items()
    }


def full_team(world: Any) -> tuple[int, int]:
    """Enter two mailboxes of 10 a day, one of them far from the pipeline's zone, and 60 contacts of three steps."""
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


def test_forecast_says_of_each_day_what_is_then_planned(world: Any) -> None:
    full_team(world)
    foretold = foretell(world, days=10)
    for n, told in enumerate(foretold):
        plan = world.plan(MORNING + timedelta(days=n))
        assert told.day == TODAY + timedelta(days=n)
        assert (told.planned, told.capacity) == (
            len(plan.placed),
            int(plan.snapshot.mailbox_capacity["capacity"].sum()),
        )
        assert told.first_mails == int((~plan.placed["follow_up"].astype(bool)).sum())
        by_mailbox = told.mailboxes.set_index("mailbox_id")
        assert by_mailbox["planned"].sum() == told.planned
        placed = plan.placed["mailbox_id"].value_counts()
        assert by_mailbox["planned"].loc[lambda n: n > 0].sort_index().to_dict() == placed.to_dict()
        assert by_mailbox["waiting"].sum() == told.waiting.get("pinned_mailbox_full", 0)
        assert told.waiting.to_dict() == plan.waiting["reason"].value_counts().loc[lambda n: n > 0].to_dict()
        world.finish()
    assert sum(told.planned for told in foretold) > 100


def test_forecast_writes_nothing(world: Any) -> None:
    full_team(world)
    before = world.ledger()
    foretell(world)
    assert world.ledger() == before


def test_mails_under_way_count_as_sent_today(world: Any) -> None:
    full_team(world)
    fresh = foretell(world)
    world.plan()
    again = foretell(world, now=MORNING + timedelta(minutes=1))
    assert again[0].planned == 0
    assert [d.already_planned for d in again] == [fresh[0].planned] + [0] * 6
    assert [d.planned for d in again[1:]] == [d.planned for d in fresh[1:]]


def test_what_is_mailed_today_counts_as_already_planned(world: Any) -> None:
    full_team(world)
    planned = len(world.plan().placed)
    world.finish(where="mailbox_id = (SELECT min(id) FROM mailboxes)")
    days = shown(world, 2, MORNING + timedelta(minutes=1))["days"]
    assert [day["already_planned"] for day in days] == [planned, 0]


def test_a_paused_contacts_first_mail_gives_its_place_back_in_a_forecast_as_in_the_plan(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(max_first_mails=8),))
    for _ in range(28):
        world.enrol(sequence)
    world.plan()
    world.run(
        "UPDATE sequences_contacts SET status = 'paused' WHERE contact_id IN (SELECT contact_id FROM sends LIMIT 3)"
    )
    now = MORNING + timedelta(minutes=1)
    (told,) = foretell(world, days=1, now=now)
    assert told.planned == len(world.plan(now).placed) == 3


def test_each_mailbox_tells_how_many_of_its_own_follow_ups_wait(world: Any) -> None:
    full, empty = world.mailbox(send_limit=3), world.mailbox(send_limit=3)
    sequence = world.sequence(mailboxes=(full, empty), steps=2)
    for _ in range(8):
        world.follow_up(sequence, full)
    told = foretell(world, days=3)
    assert [d.mailboxes.set_index("mailbox_id")["waiting"].to_dict() for d in told] == [
        {full: 5, empty: 0},
        {full: 2, empty: 0},
        {full: 0, empty: 0},
    ]
    summary = summarise_mailboxes(told).set_index("mailbox_id")
    assert summary.loc[full].to_dict() == {
        "planned": 8,
        "most_waiting": 5,
        "capacity": 9,
        "utilisation": 0.8889,
    }


def test_added_mailboxes_empty_the_queues_sooner(world: Any) -> None:
    sequence, _ = full_team(world)
    world.mailbox(holiday_calendar="DE", send_limit=1)  # most others have none
    as_it_is = summarise_sequences(foretell(world, days=14)).set_index("sequence_id")
    with_more = summarise_sequences(foretell(world, days=14, add_mailboxes=3, limit=60)).set_index(
        "sequence_id"
    )
    assert with_more.loc[sequence, "queue_empty_on"] == TODAY
    assert as_it_is.loc[sequence, "queue_empty_on"] > date(2026, 6, 18)
    assert with_more["most_waiting"].sum() < as_it_is["most_waiting"].sum()


def test_a_limit_alone_is_tried_on_every_mailbox(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(), world.mailbox()))
    for _ in range(20):
        world.enrol(sequence)
    assert foretell(world, days=1, limit=3)[0].planned == 6


def test_a_bound_of_first_mails_takes_the_swing_out_of_an_overload(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=30),), steps=3, delay=3)
    for _ in range(600):
        world.enrol(sequence)
    free = [d.first_mails for d in foretell(world, days=12)]
    bound = [d.first_mails for d in foretell(world, days=12, max_first_mails=10)]
    assert min(free) == 0
    assert max(free) == 30
    assert set(bound) == {10}


def test_a_bound_of_first_mails_counts_those_that_today_has_begun(world: Any) -> None:
    box = world.mailbox(send_limit=5)
    sequence = world.sequence(mailboxes=(box,), steps=1)
    for _ in range(30):
        world.enrol(sequence)
    world.plan()
    world.run("UPDATE mailboxes SET send_limit = 50")
    later = MORNING + timedelta(minutes=1)
    assert [d.first_mails for d in foretell(world, 3, later, max_first_mails=5)] == [0, 5, 5]
    assert [d.first_mails for d in foretell(world, 3, later, max_first_mails=8)] == [3, 8, 8]
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
def test_places_that_the_next_plan_takes_back_are_taken_back_in_a_forecast(world: Any, change: str) -> None:
    full_team(world)
    world.plan()
    world.run(change)
    later = MORNING + timedelta(minutes=1)
    told, *_ = foretell(world, days=2, now=later)
    held = len(world.rows("status = 'planned'"))
    plan = world.plan(later)
    assert told.already_planned == held - plan.revoked
    assert told.planned == len(plan.placed)
    assert told.waiting.to_dict() == plan.waiting["reason"].value_counts().loc[lambda n: n > 0].to_dict()


def test_a_lower_limit_that_is_tried_takes_places_back(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=10),), steps=1)
    for _ in range(10):
        world.enrol(sequence)
    world.plan()
    told = foretell(world, 4, MORNING + timedelta(minutes=1), limit=4)
    assert [d.already_planned + d.planned for d in told] == [4, 4, 2, 0]


@pytest.mark.parametrize(
    ("field", "most"), [("add_mailboxes", MOST_ADDED), ("limit", MOST_MAILS), ("max_first_mails", MOST_MAILS)]
)
def test_launchpad_refuses_numbers_that_no_team_has(field: str, most: int) -> None:
    assert getattr(ForecastConfig(**{field: most}), field) == most
    with pytest.raises(ValidationError, match="less than or equal"):
        ForecastConfig(**{field: most + 1})


def test_who_may_not_be_mailed_stands_in_no_queue(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),), steps=1)
    world.enrol(sequence)
    world.enrol(sequence, world.contact(is_active=False))
    told = foretell(world, days=3)
    assert told[2].waiting.to_dict() == {"contact_inactive": 1}
    assert (told[2].wait_for_room, told[2].wait_otherwise, told[2].not_to_be_mailed) == (0, 0, 1)
    assert summarise_sequences(told).iloc[0][["most_waiting", "queue_empty_on"]].tolist() == [0, TODAY]


def test_a_follow_up_on_its_mailboxs_closed_day_does_not_wait_for_room(world: Any) -> None:
    weekdays = world.mailbox(send_days="{1,2,3,4,5}")
    sequence = world.sequence(mailboxes=(weekdays,), steps=2, delay=5)
    world.enrol(sequence)
    for days in (5, 6, 7, 8, 14):  # its follow-up falls due on a Saturday, the sixth day
        told = foretell(world, days=days)
        assert summarise_sequences(told).iloc[0][["most_waiting", "queue_empty_on"]].tolist() == [0, TODAY]
    assert told[5].waiting.to_dict() == {"window_closed": 1}
    assert (told[5].wait_for_room, told[5].wait_otherwise, told[5].not_to_be_mailed) == (0, 1, 0)


def test_a_queue_outlasts_a_weekend_on_which_all_is_closed(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=2, send_days="{1,2,3,4,5}"),), steps=1)
    for _ in range(12):
        world.enrol(sequence)
    for days in (5, 6, 7):
        assert summarise_sequences(foretell(world, days=days))["queue_empty_on"].tolist() == [None]
    assert summarise_sequences(foretell(world, days=9))["queue_empty_on"].tolist() == [date(2026, 6, 22)]


def test_dagster_says_in_words_that_a_queue_is_not_empty_in_these_days(world: Any) -> None:
    waits, done = full_team(world)
    ends = {
        days: {row["sequence_id"]: row["queue_empty_on"] for row in shown(world, days)["queues"]}
        for days in (1, 3, 14)
    }
    assert ends[1] == {waits: "not in these days", done: "not in these days"}
    assert ends[3][waits] == "not in these days"
    assert ends[14][waits].startswith("2026-06-")


def test_dagster_splits_who_waits_by_what_they_wait_for(world: Any) -> None:
    full_team(world)
    sequence = world.sequence(mailboxes=(world.mailbox(send_days="{7}"),))
    world.enrol(sequence)
    world.enrol(sequence, world.contact(is_active=False))
    (day,) = shown(world, 1)["days"]
    assert (day["wait_otherwise"], day["not_to_be_mailed"]) == (1, 1)
    assert day["waiting"] == day["wait_for_room"] + 2


def test_dagster_shows_what_a_forecast_was_asked(world: Any) -> None:
    full_team(world)
    asked = shown(world, 2, max_first_mails=3)["what_if"]
    assert asked == {"days": 2, "add_mailboxes": 0, "limit": None, "max_first_mails": 3}


def test_nobody_enrolled_and_no_mailbox_give_an_empty_forecast(world: Any) -> None:
    told = foretell(world, days=3, add_mailboxes=2)
    assert [(d.due, d.planned, d.capacity, d.utilisation) for d in told] == [(0, 0, 0, 0.0)] * 3
    assert summarise_sequences(told).empty
