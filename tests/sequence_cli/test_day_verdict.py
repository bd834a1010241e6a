"""Tests of the comparison of planned mails with the mails in the sink."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from psycopg.rows import class_row

from sequence_cli.day_verdict import BrokenPromise, Mail, PlannedMail, Verdict, judge
from sequence_store.postgres.queries import query
from tests.conftest import Database

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
    send_day=TODAY,
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


def test_late_mail_is_no_fault_on_a_loaded_machine_and_all_else_is() -> None:
    late = replace(MAIL, accepted_at=AT + timedelta(seconds=30))
    prompt = replace(MAIL, recipient="bob@lab.example")
    planned = [PLANNED, replace(PLANNED, recipient="bob@lab.example")]
    found = judge([late, prompt], planned, since=SINCE, until=UNTIL, loaded=True)
    assert found.faults == []
    assert (found.slowest_seconds, found.median_seconds) == (30.0, 15.2)
    wrong = [replace(late, mail_from="other@hello.example"), late, late]
    assert len(judge(wrong, [PLANNED], since=SINCE, until=UNTIL, loaded=True).faults) == 2
    early = replace(MAIL, accepted_at=AT - timedelta(seconds=0.1))
    assert "-0.1 s" in judge([early], [PLANNED], since=SINCE, until=UNTIL, loaded=True).faults[0]
    stuck = replace(PLANNED, current_step=1)
    assert "next step is 1" in judge([MAIL], [stuck], since=SINCE, until=UNTIL, loaded=True).faults[0]


SENDS = """
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day,
    send_at, not_after, status, reason, dispatched_at, transmitting_at, finished_at, advanced_at)
SELECT 1, n, 1, 1, 1, %(at)s::date, %(at)s::date, %(at)s::date, %(at)s + n * interval '1 second',
    %(at)s + interval '2 hours', status, reason, %(at)s, %(at)s, %(at)s, advanced_at
FROM unnest(%(rows)s::text[], %(reasons)s::text[], %(advanced)s::timestamptz[])
    WITH ORDINALITY AS row (status, reason, advanced_at, n)
"""


def test_promise_is_kept_only_if_the_mail_was_sent_or_cancelled(database: Database) -> None:
    rows = [
        ("sent", None, AT),
        ("sent", None, None),
        ("planned", None, None),
        ("transmitting", None, None),
        ("expired", "late", None),
        ("hard_failed", "recipient_refused", None),
        ("cancelled", "replied", None),
        ("planned", None, None),  # at a later time
    ]
    status, reasons, advanced = (list(column) for column in zip(*rows, strict=True))
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO contacts (id, name, mail_address) "
            "SELECT n, 'Ada', format('ADA%s@lab.example', n) FROM generate_series(1, 8) n"
        )
        connection.execute(SENDS, {"at": AT, "rows": status, "reasons": reasons, "advanced": advanced})
        times = {"since": SINCE, "until": AT + timedelta(seconds=7)}
        counted = connection.execute(query("day", "count_sent"), times).fetchall()
        cursor = connection.cursor(row_factory=class_row(BrokenPromise))
        broken = cursor.execute(query("day", "read_broken_promises"), times).fetchall()
    assert counted == [(2, 1, 2)]
    assert [promise.recipient for promise in broken] == [f"ada{n}@lab.example" for n in (3, 4, 5, 6)]
    assert broken[2].fault.endswith("but it is expired (late)")
