"""Tests that the plan leaves out contacts that answered, asked for no more mail or are away, and says why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.pipelines.conftest import MORNING, TODAY

HOLD = "UPDATE contacts SET hold_from = %s, hold_until = %s, hold_reason = 'away'"
STOP = "UPDATE contacts SET stopped_at = now(), stopped_reason = 'opt_out_unverified'"
COMPANY = (
    "INSERT INTO company_stops (mail_domain, sequence_id, contact_id, step_id, round)"
    " SELECT mail_domain(mail_address), 0, id, 0, 1 FROM contacts"
)


def close(world: Any, reason: str) -> None:
    if reason == "away":
        world.run(HOLD, TODAY, TODAY)
    else:
        world.run({"opt_out_unverified": STOP, "company_stopped": COMPANY}[reason])


@pytest.fixture(params=["away", "opt_out_unverified", "company_stopped"])
def reason(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_contact_behind_the_gate_waits_with_its_reason(world: Any, reason: str) -> None:
    contact = world.enrol(world.sequence(mailboxes=(world.mailbox(),)))
    close(world, reason)
    world.plan()
    assert (world.reasons(), world.rows()) == ({contact: reason}, [])


def test_planned_mail_behind_the_gate_is_cancelled_with_its_reason(world: Any, reason: str) -> None:
    world.enrol(world.sequence(mailboxes=(world.mailbox(),)))
    world.plan()
    close(world, reason)
    world.plan(MORNING + timedelta(seconds=1))
    assert [(row["status"], row["reason"]) for row in world.rows()] == [("cancelled", reason)]


def test_company_stop_closes_no_sequence_that_only_its_own_replies_stop(world: Any) -> None:
    mailbox = world.mailbox()
    contact = world.enrol(world.sequence(mailboxes=(mailbox,)))
    world.run("UPDATE sequences SET reply_stops = 'sequence'")
    close(world, "company_stopped")
    world.plan()
    assert [row["contact_id"] for row in world.rows("status = 'planned'")] == [contact]


def test_contact_is_mailed_after_the_last_held_date(world: Any) -> None:
    contact = world.enrol(world.sequence(mailboxes=(world.mailbox(),)))
    world.run(HOLD, TODAY, TODAY + timedelta(days=1))
    for days, planned in ((0, []), (1, []), (2, [contact])):
        world.plan(MORNING + timedelta(days=days))
        assert [row["contact_id"] for row in world.rows("status = 'planned'")] == planned


def test_held_dates_do_not_count_as_overdue(world: Any) -> None:
    """Of two follow-ups for one place, the one that is due longer was held on most of its days."""
    mailbox = world.mailbox(send_limit=1)
    sequence = world.sequence(mailboxes=(mailbox,))
    held = world.follow_up(sequence, mailbox, next_send=TODAY - timedelta(days=9))
    world.run(HOLD, TODAY - timedelta(days=8), TODAY - timedelta(days=1))
    other = world.follow_up(sequence, mailbox, next_send=TODAY - timedelta(days=4))
    world.plan()
    assert [row["contact_id"] for row in world.rows()] == [other]
    assert world.reasons() == {held: "pinned_mailbox_full"}
