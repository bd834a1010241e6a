"""Tests that the invariant checker finds each violation in a handmade history, and none in a correct one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from sequence_pipelines.maintenance.invariants import (
    Accepted,
    Event,
    Gate,
    Invariant,
    MailboxDay,
    Moved,
    PlanComparison,
    QueueState,
    Send,
    Snapshot,
    Text,
    Transition,
    check_invariants,
)
from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import SendStatus

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = date(2026, 6, 15)
KEY = SendKey(1, 2, 3, 1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAYS = MailboxDay(4, DAY, 50, 50, 1, NOON + SECOND, None)
CLAIMED, PLANNED, SENT = SendStatus.CLAIMED, SendStatus.PLANNED, SendStatus.SENT
TRANSMITTING, UNKNOWN = SendStatus.TRANSMITTING, SendStatus.UNKNOWN


def a_send(**changes: Any) -> Send:
    """Return a send that was mailed at its second and advanced its enrolment."""
    good = Send(
        *KEY, mailbox_id=4, plan_day=DAY, send_day=DAY, send_at=NOON, not_after=NOON + HOUR, status="sent",
        dispatched_at=NOON, transmitting_at=NOON + SECOND, finished_at=NOON + 2 * SECOND,
        advanced_at=NOON + 3 * SECOND, holds_claim=True, step_number=1, enrolment_round=1, current_step=2,
        last_send=DAY,
    )  # fmt: skip
    return good._replace(**changes)


def a_planned(**changes: Any) -> Send:
    empty = dict.fromkeys(("dispatched_at", "transmitting_at", "finished_at", "advanced_at"))
    planned = {"status": "planned", "holds_claim": False, "current_step": 1, "last_send": None}
    return a_send(**{**planned, **empty, **changes})


def a_change(before: SendStatus | None, after: SendStatus, **changes: Any) -> Transition:
    raised = after is PLANNED and before not in (None, PLANNED)
    good = {
        "at": NOON + SECOND, "key": KEY, "before": before, "after": after, "attempt_before": 1,
        "attempt": 1 + raised, "mailbox_id": 4, "send_at": NOON, "not_after": NOON + HOUR,
    }  # fmt: skip
    return Transition(**good | changes)


def violated(
    *sends: Send,
    history: Iterable[Event] = (),
    accepted: Iterable[Accepted] | None = None,
    days: Iterable[MailboxDay] = (DAYS,),
    now: datetime = NOON + HOUR / 2,
    **database: Any,
) -> list[str]:
    snapshot = Snapshot(now, sends, days, **database)
    return [found.invariant.value for found in check_invariants(history, snapshot, accepted)]


COMPLETE_HISTORY = [
    a_change(None, PLANNED),
    a_change(PLANNED, SendStatus.DISPATCHED),
    a_change(SendStatus.DISPATCHED, CLAIMED),
    a_change(CLAIMED, TRANSMITTING),
    a_change(TRANSMITTING, SENT),
    a_change(SENT, SENT, advanced=True),
]
ACCEPTED_ONCE = [Accepted(KEY, NOON + SECOND)]


def test_correct_history_has_no_violation() -> None:
    moved = Moved(NOON, 1, 2, 1, 1, 1, 2)
    queues = [QueueState("sends", 0, 2, poison=2)]
    comparison = PlanComparison(Invariant.TWO_PLANS_ARE_ONE, {KEY: "sent"}, {KEY: "sent"})
    texts = [Text("log", "sent contact_id=2")]
    history = [*COMPLETE_HISTORY, moved, comparison, *texts]
    assert (
        violated(
            a_send(),
            history=history,
            accepted=ACCEPTED_ONCE,
            queues=queues,
            private=["bob@"],
            unknown_shown=0,
        )
        == []
    )


@pytest.mark.parametrize(
    "send",
    [
        a_planned(),
        a_planned(status="dispatched", dispatched_at=NOON - HOUR / 4),
        a_planned(status="claimed", lease_until=NOON + HOUR / 2, holds_claim=True),
        a_planned(status="cancelled", reason="suppressed"),
        a_planned(status="expired", reason="not_after", dispatched_at=NOON),
        a_send(status="hard_failed", enrolment_round=2, current_step=1),
        a_send(status="unknown", advanced_at=None, current_step=1, last_send=None),
        a_send(attempt=2, settled_retry=1),
        a_send(step_number=7, step_updated=NOON + HOUR),  # renumbered later
        a_send(suppressed_at=NOON + 2 * SECOND),
        a_send(reason="restored", transmitting_at=None),
    ],
)
def test_correct_row_has_no_violation(send: Send) -> None:
    assert violated(send) == []


def test_i1_finds_a_mail_that_was_accepted_twice_unless_a_retry_was_requested() -> None:
    assert violated(a_send(), accepted=ACCEPTED_ONCE * 2) == ["I1"]
    assert violated(a_send(attempt=2, settled_retry=1), accepted=ACCEPTED_ONCE * 2) == []
    assert violated(a_send(attempt=2, settled_retry=1), accepted=ACCEPTED_ONCE * 3) == ["I1"]


def test_i2_finds_sent_but_not_accepted_and_accepted_but_planned() -> None:
    assert violated(a_send(), accepted=[]) == ["I2"]
    assert violated(a_send(settled_sent=1, reason="resolved"), accepted=[]) == []
    assert violated(a_planned(), accepted=ACCEPTED_ONCE) == ["I2"]


@pytest.mark.parametrize(
    "changes",
    [
        {"transmitting_at": NOON - SECOND},
        {"transmitting_at": NOON + 2 * HOUR},
        {"suppressed_at": NOON - HOUR},
    ],
    ids=["early", "late", "suppressed"],
)  # fmt: skip
def test_i3_finds_a_mail_sent_outside_its_time_or_after_its_suppression(changes: dict[str, Any]) -> None:
    assert violated(a_send(**changes)) == ["I3"]


@pytest.mark.parametrize(
    ("of", "ids"),
    [("contact", (2,)), ("sequence", (1,)), ("mailbox", (4,)), ("step", (3,)), ("enrolment", (1, 2))],
)
def test_i3_finds_a_transmission_that_began_while_a_gate_was_shut(of: Any, ids: tuple[int, ...]) -> None:
    shut, opened = Gate(NOON - HOUR, of, ids, shut=True), Gate(NOON - HOUR / 2, of, ids, shut=False)
    assert violated(a_send(), history=[shut, *COMPLETE_HISTORY]) == ["I3"]
    assert violated(a_send(), history=[shut, opened, *COMPLETE_HISTORY]) == []
    assert violated(a_send(), history=[Gate(NOON - HOUR, of, (99, 99), shut=True), *COMPLETE_HISTORY]) == []


def test_i3_finds_a_transmission_that_began_before_its_second() -> None:
    assert violated(a_send(), history=[a_change(CLAIMED, TRANSMITTING, at=NOON - SECOND)]) == ["I3"]


def test_i4_finds_a_second_mail_of_the_day() -> None:
    other = a_send(sequence_id=9, mailbox_id=5)
    five = DAYS._replace(mailbox_id=5)
    assert violated(a_send(), other, days=[DAYS, five]) == ["I4"]
    tomorrow, later = DAY + timedelta(1), NOON + timedelta(1)
    next_day = other._replace(
        plan_day=tomorrow, send_day=tomorrow, last_send=tomorrow, send_at=later, not_after=later + HOUR,
        transmitting_at=later + SECOND, finished_at=later + 2 * SECOND, advanced_at=later + 3 * SECOND,
    )  # fmt: skip
    six = five._replace(send_day=tomorrow)
    assert violated(a_send(), next_day, days=[DAYS, six], now=later + HOUR / 2) == []
    assert violated(a_send(), a_planned(sequence_id=9, status="cancelled")) == []


def test_i4_finds_a_second_mail_on_one_date_of_the_mailbox_in_two_planning_days() -> None:
    """In Tokyo the date of the first mail, sent from another mailbox, goes on in the next planning day."""
    first = a_send(send_at=datetime(2026, 6, 15, 15, 30, tzinfo=UTC), send_day=DAY)
    first = first._replace(
        not_after=first.send_at + HOUR, transmitting_at=first.send_at + SECOND,
        finished_at=first.send_at + 2 * SECOND, advanced_at=first.send_at + 3 * SECOND,
    )  # fmt: skip
    tomorrow, at = DAY + timedelta(1), datetime(2026, 6, 16, 5, tzinfo=UTC)
    second = first._replace(
        sequence_id=9, mailbox_id=5, plan_day=tomorrow, send_day=tomorrow, last_send=tomorrow, send_at=at,
        not_after=at + HOUR, transmitting_at=at + SECOND, finished_at=at + 2 * SECOND,
        advanced_at=at + 3 * SECOND, start_seconds=9 * 3600, end_seconds=17 * 3600, time_zone="Asia/Tokyo",
    )  # fmt: skip
    days = [DAYS, DAYS._replace(mailbox_id=5, send_day=tomorrow)]
    assert violated(first, second, days=days, now=at + HOUR / 2) == ["I4"]
    in_utc = second._replace(time_zone="UTC")
    assert violated(first, in_utc, days=days, now=at + HOUR / 2) == []


def test_i4_finds_a_day_over_its_limit_unless_the_limit_was_lowered_since() -> None:
    over = DAYS._replace(used=51, mailbox_updated=NOON - HOUR)
    assert violated(a_send(), days=[over]) == ["I4"]
    assert violated(a_send(), days=[over._replace(mailbox_updated=NOON + HOUR)]) == []


def test_i4_finds_mails_that_were_not_counted() -> None:
    assert violated(a_send(), days=[DAYS._replace(used=0)]) == ["I4"]
    assert violated(a_send(), days=[]) == ["I4"]


def test_i4_finds_two_mails_nearer_than_the_gap_in_whatever_order_they_went() -> None:
    two = DAYS._replace(used=2)
    first = a_send(gap_seconds=60)
    second = a_send(contact_id=8, gap_seconds=60, send_at=NOON + SECOND, transmitting_at=NOON + 31 * SECOND)
    assert violated(first, second, days=[two]) == ["I4"]
    assert violated(second._replace(send_at=NOON), first, days=[two]) == ["I4"]
    assert violated(first, second._replace(transmitting_at=NOON + 61 * SECOND), days=[two]) == []
    widened = {"mailbox_updated": NOON + HOUR}
    assert violated(first._replace(**widened), second._replace(**widened), days=[two]) == []


@pytest.mark.parametrize(
    "send",
    [
        a_planned(status="dispatched", dispatched_at=NOON),
        a_planned(status="claimed", lease_until=NOON, holds_claim=True),
        a_send(status="transmitting", finished_at=None, advanced_at=None, current_step=1),
        a_send(advanced_at=None),
        a_send(status="unknown", advanced_at=None),
    ],
    ids=lambda send: str(send.status),
)
def test_i5_finds_a_send_that_does_not_end(send: Send) -> None:
    assert violated(send, now=NOON + timedelta(days=2)) == ["I5"]


@pytest.mark.parametrize(
    "changes", [{"current_step": 1}, {"last_send": None}, {"last_send": date(2026, 6, 14)}]
)
def test_i6_finds_an_outcome_that_advanced_no_enrolment(changes: dict[str, Any]) -> None:
    assert violated(a_send(**changes)) == ["I6"]


def test_i6_finds_a_step_back_and_an_outcome_that_was_applied_twice() -> None:
    assert violated(history=[Moved(NOON, 1, 2, 1, 1, 3, 2)]) == ["I6"]
    assert violated(history=[Moved(NOON, 1, 2, 2, 1, 3, 3)]) == ["I6"]
    assert violated(history=[Moved(NOON, 1, 2, 1, 2, 3, 1)]) == []  # a new round starts at step 1
    assert violated(a_send(), history=[*COMPLETE_HISTORY, COMPLETE_HISTORY[-1]]) == ["I6"]


def test_i7_finds_a_row_that_is_stored_twice_or_in_the_archive_too() -> None:
    assert "I7" in violated(a_send(), a_send(), days=[DAYS._replace(used=2)])
    assert violated(a_send(archived_status="sent")) == ["I7"]
    assert violated(a_planned(archived_status="cancelled")) == []


@pytest.mark.parametrize(
    "event",
    [
        a_change(SENT, PLANNED),
        a_change(SENT, UNKNOWN),
        a_change(None, TRANSMITTING),
        a_change(CLAIMED, PLANNED, attempt=1),
        a_change(PLANNED, CLAIMED, attempt=1, attempt_before=2),
    ],
)
def test_i8_finds_a_forbidden_transition(event: Transition) -> None:
    assert "I8" in violated(history=[event])


@pytest.mark.parametrize(
    "send",
    [
        a_planned(dispatched_at=NOON),
        a_planned(status="dispatched"),
        a_planned(status="claimed", lease_until=NOON + HOUR),
        a_planned(status="cancelled", lease_until=NOON),
        a_send(status="unknown", finished_at=None, advanced_at=None),
    ],
)
def test_i8_finds_columns_that_do_not_fit_the_status(send: Send) -> None:
    assert violated(send) == ["I8"]


def test_i9_finds_a_row_without_a_message_and_a_mail_without_a_row() -> None:
    assert violated(a_planned(), now=NOON + 2 * HOUR) == ["I9"]
    assert violated(accepted=ACCEPTED_ONCE) == ["I9"]


def test_i10_finds_remaining_messages_and_unexpected_dead_letters() -> None:
    assert violated(queues=[QueueState("sends", 1, 0)]) == ["I10"]
    assert violated(queues=[QueueState("sends", 0, 1)]) == ["I10"]


def test_i11_finds_an_address_in_a_readable_text() -> None:
    assert violated(history=[Text("log", "to bob@people.example")], private=["bob@people"]) == ["I11"]
    assert violated(a_send(smtp_reply="550 <bob@people.example> unknown")) == ["I11"]
    assert violated(a_send(reason="no mailbox bob@people.example")) == ["I11"]


@pytest.mark.parametrize("invariant", [Invariant.PLANNING_AGAIN_CHANGES_NOTHING, Invariant.TWO_PLANS_ARE_ONE])
def test_i12_and_i13_find_a_plan_that_changed_what_was_planned(invariant: Any) -> None:
    assert violated(history=[PlanComparison(invariant, {KEY: 1}, {KEY: 2})]) == [invariant]
    assert violated(history=[PlanComparison(invariant, {}, {KEY: 2})]) == [invariant]


def test_i14_finds_an_unknown_that_is_not_counted_or_settled_twice() -> None:
    unknown = a_send(status="unknown", advanced_at=None, current_step=1, last_send=None)
    assert violated(unknown, unknown_shown=0) == ["I14"]
    assert violated(unknown, unknown_shown=1) == []
    assert violated(a_send(settled_sent=2)) == ["I14"]
    assert violated(a_send(attempt=2, settled_retry=2)) == ["I14"]
    became, retried = a_change(TRANSMITTING, UNKNOWN), a_change(UNKNOWN, PLANNED)
    assert violated(history=[became, retried, retried]) == ["I14"]
    assert violated(history=[became, retried, became, retried]) == []


def test_every_invariant_has_a_test_that_violates_it() -> None:
    named = " ".join(name for name in globals() if name.startswith("test_i"))
    assert all(f"{invariant.value.lower()}_" in named for invariant in Invariant)
