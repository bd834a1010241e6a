"""Tests the packed columns of due enrolments: unpacking is exact, and values that do not fit fail."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest

from sequence_pipelines.planning.engine.windows import epoch_day
from sequence_pipelines.planning.repository import PlanRepository

DAY = date(2037, 12, 31)
SENT = date(2026, 6, 1)
MOST = 2**31 - 1


def read(world: Any) -> Any:
    return PlanRepository(world.connection, world.settings.address_pads).due(DAY)


def test_due_rows_are_unpacked_and_ordered_by_sequence_step_and_contact(world: Any) -> None:
    sequences = [world.sequence() for _ in range(20)]  # more than the query has groups
    expected = []
    for n, sequence in enumerate(sequences):
        for step, round_, mailbox, next_send, last_send in (
            (MOST, 1, None, DAY, None),
            (1, 2**15 - 1, MOST, date(1990, 1, 1 + n), SENT),
            (2, 1, 1, date(1900, 1, 1), SENT),
            (2, 3, None, SENT, SENT),
        ):
            contact = world.enrol(
                sequence,
                current_step=step,
                round=round_,
                mailbox_id=mailbox,
                next_send=next_send,
                last_send=last_send,
            )
            due_day = max(0, epoch_day(next_send))
            expected.append((sequence, step, contact, mailbox or 0, due_day, round_, last_send is not None))
    world.enrol(sequences[0], next_send=date(2038, 1, 1))
    columns = ["sequence_id", "current_step", "contact_id", "mailbox_id", "due_day", "round", "follow_up"]
    assert list(read(world)[columns].itertuples(index=False, name=None)) == sorted(expected)


def test_mailbox_id_that_does_not_fit_fails(world: Any) -> None:
    world.enrol(world.sequence(), mailbox_id=2**31, last_send=SENT)
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        read(world)
