"""Tests of the comparison of planned mails with the mails in the sink."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from sequence_cli.day_verdict import Mail, PlannedMail, Verdict, judge

SINCE = datetime(2026, 11, 24, 12, tzinfo=UTC)
AT = SINCE + timedelta(minutes=2)
UNTIL = SINCE + timedelta(minutes=5)
TODAY = date(2026, 11, 24)
MAIL = Mail("team@hello.example", "ada@lab.example", AT + timedelta(seconds=0.4))
PLANNED = PlannedMail(
    recipient="ada@lab.example",
    mailbox="team@hello.example",
    send_at=AT,
    status="sent",
    finished_at=AT + timedelta(seconds=0.5),
    advanced=True,
    enrolment_status="active",
    current_step=2,
    next_send=TODAY + timedelta(days=3),
    last_send=TODAY,
    plan_day=TODAY,
    step_number=1,
    next_step=2,
    next_day=TODAY + timedelta(days=3),
)
LAST = replace(PLANNED, next_step=None, next_day=None, next_send=None, enrolment_status="completed")


def verdict(mails: list[Mail], planned: list[PlannedMail]) -> Verdict:
    return judge(mails, planned, since=SINCE, until=UNTIL)


def test_planned_mail_that_arrived_in_time_is_no_fault() -> None:
    found = verdict([MAIL], [PLANNED])
    assert (found.faults, found.mails, found.advanced, found.slowest_seconds) == ([], 1, 1, 0.4)


def test_last_step_completes_the_enrolment() -> None:
    assert verdict([MAIL], [LAST]).faults == []
    assert "still active" in verdict([MAIL], [replace(LAST, enrolment_status="active")]).faults[0]


@pytest.mark.parametrize(
    ("mails", "planned", "fault"),
    [
        ([MAIL], [], "0 were planned"),
        ([MAIL, MAIL], [PLANNED], "2 mails arrived, 1 were planned"),
        ([], [PLANNED], "0 arrived"),
        ([replace(MAIL, mail_from="other@hello.example")], [PLANNED], "team@hello.example was planned"),
        ([replace(MAIL, accepted_at=AT + timedelta(seconds=2.1))], [PLANNED], r"\+2.1 s"),
        ([replace(MAIL, accepted_at=AT - timedelta(seconds=0.1))], [PLANNED], "-0.1 s"),
        ([MAIL], [replace(PLANNED, current_step=1)], "next step is 1"),
        ([MAIL], [replace(PLANNED, next_send=TODAY)], "2026-11-24, not 2 on 2026-11-27"),
        ([MAIL], [replace(PLANNED, last_send=None)], "last send is None"),
    ],
)
def test_each_fault_is_reported(mails: list[Mail], planned: list[PlannedMail], fault: str) -> None:
    found = verdict(mails, planned).faults
    assert len(found) == 1
    assert re.search(fault, found[0])


def test_mail_still_under_way_need_not_have_arrived() -> None:
    under_way = replace(PLANNED, status="transmitting", finished_at=None, advanced=False)
    assert verdict([], [under_way]).faults == []
    assert verdict([MAIL], [under_way]).faults == []


def test_mail_that_was_due_before_the_start_may_be_late() -> None:
    early = replace(PLANNED, send_at=SINCE - timedelta(minutes=1))
    found = verdict([MAIL], [early])
    assert (found.faults, found.late_from_before) == ([], 1)


def test_mails_of_earlier_runs_are_not_judged() -> None:
    assert verdict([replace(MAIL, accepted_at=SINCE - timedelta(seconds=1))], []).mails == 0
