"""Tests of batched calls: each attempt gets its own result, and a failure affects only its own call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from local_stack.processes import wait_until
from step_mailing_worker.batching import Batches
from tests.conftest import SmtpSink
from tests.step_mailing_worker.conftest import Team


class _Calls:
    """Squares numbers; raises ValueError if one is negative. `gate` delays a call."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()

    async def __call__(self, numbers: list[int]) -> Sequence[int]:
        self.seen.append(numbers)
        self.begun.set()
        await self.gate.wait()
        if min(numbers) < 0:
            raise ValueError(numbers)
        return [number**2 for number in numbers]


def test_what_arrives_during_a_call_forms_the_next_and_a_failure_is_one_calls_own() -> None:
    async def play() -> None:
        calls = _Calls()
        batches = Batches(calls, most=3)
        calls.gate.clear()
        first = asyncio.create_task(batches.submit(1))
        await calls.begun.wait()
        others = [asyncio.create_task(batches.submit(number)) for number in (2, -3, 4, 5)]
        await asyncio.sleep(0)
        calls.gate.set()
        results = await asyncio.gather(first, *others, return_exceptions=True)
        assert [r if isinstance(r, int) else type(r) for r in results] == [1, *[ValueError] * 3, 25]
        assert calls.seen == [[1], [2, -3, 4], [5]]
        await batches.close()

    asyncio.run(play())


def test_who_is_cancelled_goes_on_when_its_call_is_over_or_was_never_made() -> None:
    async def play() -> None:
        calls = _Calls()
        batches = Batches(calls, most=1)
        calls.gate.clear()
        under_way, waiting = (asyncio.create_task(batches.submit(number)) for number in (1, 2))
        await calls.begun.wait()
        waiting.cancel()
        (error,) = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(error, asyncio.CancelledError)
        under_way.cancel()
        await asyncio.sleep(0)
        under_way.cancel()
        await asyncio.sleep(0)
        assert not under_way.done()
        calls.gate.set()
        (error,) = await asyncio.gather(under_way, return_exceptions=True)
        assert isinstance(error, asyncio.CancelledError)
        assert calls.seen == [[1]]
        await batches.close()

    asyncio.run(play())


def test_send_whose_row_somebody_holds_is_waited_for_by_itself(team: Team, smtp_sink: SmtpSink) -> None:
    """Claims share a transaction with a short lock timeout, so one locked row does not delay the others."""
    held, *others = [team.dispatch() for _ in range(8)]
    with team.database.connect() as holder:
        holder.execute("SELECT FROM sends WHERE contact_id = %s FOR UPDATE", [held.contact_id])
        team.publish(held, *others)
        team.start()
        for message in others:
            team.becomes(message, "sent")
        assert team.row(held)[0] == "dispatched"
    team.becomes(held, "sent")
    assert team.handled()
    assert len(smtp_sink.mails) == 8


def test_contact_that_somebody_holds_keeps_only_its_own_mail_waiting_at_the_gate(
    team: Team, smtp_sink: SmtpSink
) -> None:
    held, *others = [team.dispatch() for _ in range(8)]
    with team.database.connect() as holder:
        holder.execute("SELECT FROM contacts WHERE id = %s FOR UPDATE", [held.contact_id])
        team.publish(held, *others)
        team.start()
        for message in others:
            team.becomes(message, "sent")
        assert wait_until(lambda: team.row(held)[0] == "claimed", 10)
    team.becomes(held, "sent")
    assert len(smtp_sink.mails) == 8
    assert team.one("SELECT used FROM mailbox_days") == 8
