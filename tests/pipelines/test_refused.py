"""Tests that the planner gives a refused mail a later date, and never the date that refused it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.pipelines.conftest import MORNING, TODAY


def refuse(world: Any, reason: str = "refused_today") -> None:
    """Refuse every planned mail, as the worker records it."""
    world.run("UPDATE sends SET status = 'expired', reason = %s WHERE status = 'planned'", reason)


@pytest.mark.parametrize("reason", ["refused_today", "relay_lacks_smtputf8"])
def test_refused_mail_waits_until_the_next_date(world: Any, reason: str) -> None:
    mailbox = world.mailbox()
    sequence = world.sequence(mailboxes=(mailbox,))
    first, follow_up = world.enrol(sequence), world.follow_up(sequence, mailbox)
    world.plan()
    refuse(world, reason)
    world.plan(MORNING + timedelta(hours=6))
    assert world.reasons() == {first: reason, follow_up: reason}
    assert world.rows("status = 'planned'") == []
    assert world.enrolment(sequence, first)["next_send"] == TODAY
    world.plan(MORNING + timedelta(days=1))
    assert world.reasons() == {}
    assert [(row["contact_id"], row["send_day"]) for row in world.rows()] == [
        (contact, TODAY + timedelta(days=1)) for contact in sorted([first, follow_up])
    ] or {row["send_day"] for row in world.rows()} == {TODAY + timedelta(days=1)}
    assert {row["attempt"] for row in world.rows()} == {2}


def test_part_of_a_window_after_midnight_belongs_to_the_date_that_refused(world: Any) -> None:
    mailbox = world.mailbox(send_start_time="20:00", send_end_time="08:00")
    sequence = world.sequence(mailboxes=(mailbox,))
    contact = world.enrol(sequence)
    world.plan()
    (row,) = world.rows()
    refuse(world)
    for hours in range(0, 72, 6):
        world.plan(MORNING + timedelta(hours=hours))
        if again := world.rows("status = 'planned'"):
            assert again[0]["send_day"] > row["send_day"]
            break
        assert world.reasons() == {contact: "refused_today"}
    else:
        pytest.fail("the contact was not planned again within three days")


def test_refusal_of_one_contact_does_not_hold_another(world: Any) -> None:
    mailbox = world.mailbox()
    sequence = world.sequence(mailboxes=(mailbox,))
    world.enrol(sequence)
    world.plan()
    refuse(world)
    other = world.enrol(sequence)
    world.plan(MORNING + timedelta(hours=6))
    assert [row["contact_id"] for row in world.rows("status = 'planned'")] == [other]


def test_suppression_with_an_end_holds_until_then(world: Any) -> None:
    mailbox = world.mailbox()
    contact = world.enrol(world.sequence(mailboxes=(mailbox,)))
    world.run(
        "INSERT INTO suppressions (address_hmac, reason, until)"
        " SELECT address_hmac(mail_address, %s), 'refused', %s FROM contacts",
        world.settings.address_pads,
        MORNING + timedelta(days=1),
    )
    world.plan()
    assert world.reasons() == {contact: "suppressed"}
    world.plan(MORNING + timedelta(days=1, seconds=1))
    assert [row["contact_id"] for row in world.rows()] == [contact]
