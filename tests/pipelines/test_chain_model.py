"""Runs random sequences of events and faults over the real SQL, and checks the invariants after each event.

A worker is modelled by the database calls that it makes, one at a time, so a few hundred sequences take
seconds. Each run tries the same sequences; `MODEL_EXAMPLES=1000 make test
ARGS=tests/pipelines/test_chain_model.py` tries 1000 new ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_model
from psycopg.types.json import Jsonb

from sequence_pipelines.maintenance.invariants import Accepted, Bounds
from sequence_pipelines.maintenance.reconcile import reconcile_ledger
from sequence_pipelines.results.advance import apply_sends, find_unapplied
from sequence_store.domain.messages import SendKey
from sequence_store.postgres.connection import connect
from sequence_store.postgres.lookback import lookback_start
from sequence_store.postgres.queries import query
from tests.history import find_violations, record_history
from tests.pipelines.conftest import World

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
WORKERS = st.integers(0, 2)
CHOICE = st.integers(0, 1_000)
CONTACTS = 4
STRICT = Bounds(race=timedelta(0), margin=timedelta(days=1))
TRUNCATE_ALL = """
TRUNCATE sends, send_events, sequences_contacts, contacts, sequences, steps, mailboxes, sequences_mailboxes,
    mailbox_days, plan_deferrals, suppressions, reputation_events, send_counts, history
RESTART IDENTITY CASCADE
"""


@dataclass
class Job:
    """A worker's processing of one message; `at` is the state that it has reached."""

    key: SendKey
    claim: UUID
    at: str = "claimed"


class ChainModel(RuleBasedStateMachine):
    """Two mailboxes, four contacts, three workers, and two queues that never lose a message."""

    world: World  # set by the test, with `worker_url`
    worker_url: str

    @initialize()
    def insert(self) -> None:
        self.world.run(TRUNCATE_ALL)
        day = {"send_start_time": "00:00", "send_end_time": "00:00"}
        boxes = tuple(self.world.mailbox(send_limit=limit, **day) for limit in (2, 50))
        today = self.world.settings.calendar.day_of(datetime.now(UTC))
        self.sequence = self.world.sequence(steps=2, mailboxes=boxes)
        self.contacts = [self.world.enrol(self.sequence, next_send=today) for _ in range(CONTACTS)]
        self.messages: list[tuple[SendKey, int]] = []  # every message that was ever sent
        self.results: list[SendKey] = []
        self.jobs: dict[int, Job] = {}
        self.accepted: list[Accepted] = []
        self.worker = connect(self.worker_url, name="model worker", autocommit=True)

    def teardown(self) -> None:
        with suppress(AttributeError):
            self.worker.close()

    @rule()
    def plan(self) -> None:
        self.world.plan(datetime.now(UTC))
        self.world.run(
            "UPDATE sends SET send_at = date_trunc('second', clock_timestamp()) WHERE status = 'planned'"
        )

    @rule(marks=st.booleans())
    def dispatch(self, marks: bool) -> None:
        """Send the ready rows; a dispatcher may be killed before it marks them."""
        with connect(self.world.pipeline_url, name="model dispatch", autocommit=True) as connection:
            rows = connection.execute(
                query("dispatch", "read_ready"),
                {"since": lookback_start(self.world.settings), "ahead_seconds": 900},
            ).fetchall()
            self.messages += [(SendKey(*row[:4]), row[7]) for row in rows]
            if marks and rows:
                names = ("sequence_ids", "contact_ids", "step_ids", "rounds")
                keys = {name: [row[n] for row in rows] for n, name in enumerate(names)}
                connection.execute(
                    query("dispatch", "mark_dispatched"), {**keys, "attempts": [row[7] for row in rows]}
                )

    @precondition(lambda self: self.messages)
    @rule(number=WORKERS, choice=CHOICE)
    def receive(self, number: int, choice: int) -> None:
        """Claim with any message that was ever sent: the first copy, a duplicate, or a redriven one."""
        key, attempt = self.messages[choice % len(self.messages)]
        job = Job(key, uuid4())
        if self._call("claim_send", job, attempt=attempt)[1] == "claimed":
            self.jobs[number] = job

    @precondition(lambda self: self.jobs)
    @rule(choice=CHOICE)
    def step(self, choice: int) -> None:
        """Take the next step of a job: pass the gate, transmit the mail, record and report the outcome."""
        number = self._working(choice)
        job = self.jobs[number]
        match job.at:
            case "claimed":
                verdict = self._call("mark_transmitting", job)[1]
                job.at = "transmitting"
                if verdict != "transmitting":
                    del self.jobs[number]
            case "transmitting":
                self.accepted.append(Accepted(job.key, datetime.now(UTC)))
                job.at = "accepted"
            case _:
                self._finish(number, "sent")

    @precondition(lambda self: any(job.at != "accepted" for job in self.jobs.values()))
    @rule(choice=CHOICE, how=st.sampled_from(["soft_failed", "hard_failed", "unknown"]))
    def fail(self, choice: int, how: str) -> None:
        number = self._working(choice)
        if self.jobs[number].at != "accepted":
            self._finish(number, how)

    @precondition(lambda self: self.jobs)
    @rule(choice=CHOICE)
    def kill(self, choice: int) -> None:
        del self.jobs[self._working(choice)]

    @rule()
    def expire_leases(self) -> None:
        self.world.run(
            "UPDATE sends SET lease_until = clock_timestamp() - interval '1 s' WHERE status = 'claimed'"
        )

    @rule(patient=st.booleans())
    def reconcile(self, patient: bool) -> None:
        bounds = {} if patient else {"vanished_after_seconds": 0, "transmitting_bound_seconds": 0}
        with connect(self.world.pipeline_url, name="model reconcile") as connection:
            reconcile_ledger(connection, self.world.settings.model_copy(update=bounds))

    @rule(choice=CHOICE, how=st.sampled_from(["sent", "retry"]))
    def resolve(self, choice: int, how: str) -> None:
        rows = self.world.rows("status = 'unknown'")
        if rows:
            row = rows[choice % len(rows)]
            named = {name: row[name] for name in ("contact_id", "step_id", "round")}
            self.world.connection.execute(query("sends", "resolve_send"), {**named, "as": how})

    @precondition(lambda self: self.results)
    @rule(choice=CHOICE, again=st.booleans())
    def apply_result(self, choice: int, again: bool) -> None:
        key = self.results[choice % len(self.results)]
        if not again:
            self.results.remove(key)
        self._apply(lambda _: [key])

    @rule(settles=st.sampled_from([0, 86_400]))
    def sweep(self, settles: int) -> None:
        now, since = datetime.now(UTC), lookback_start(self.world.settings)
        self._apply(lambda c: find_unapplied(c, since=since, now=now, unknown_settles=settles), settles)

    @rule(choice=CHOICE)
    def unsubscribe(self, choice: int) -> None:
        contact = self.contacts[choice % CONTACTS]
        step = self.world.step_id(self.sequence, 1)
        pads = self.world.settings.address_pads
        self.world.one("SELECT unsubscribe(%s, %s, %s, 1, %s)", self.sequence, contact, step, pads)

    @rule(choice=CHOICE, on=st.booleans(), what=st.sampled_from(["mailboxes", "sequences", "contacts"]))
    def switch(self, choice: int, on: bool, what: str) -> None:
        ids = self.world.one(f"SELECT array_agg(id ORDER BY id) FROM {what}")
        self.world.run(f"UPDATE {what} SET is_active = %s WHERE id = %s", on, ids[choice % len(ids)])

    @rule()
    def restart(self) -> None:
        """Kill all workers with their connections."""
        self.jobs.clear()
        self.worker.close()
        self.worker = connect(self.worker_url, name="model worker", autocommit=True)

    @invariant()
    def every_invariant_holds(self) -> None:
        if not hasattr(self, "accepted"):
            return
        found = find_violations(self.world.connection, self.world.settings, self.accepted, bounds=STRICT)
        assert found == []

    def _working(self, choice: int) -> int:
        return sorted(self.jobs)[choice % len(self.jobs)]

    def _call(self, name: str, job: Job, **call: Any) -> Any:
        calls = [{**job.key._asdict(), "claim": str(job.claim), "n": 0, **call}]
        values = {"calls": Jsonb(calls), "lease_seconds": 60, "pads": self.world.settings.address_pads}
        return self.worker.execute(query("worker", name), values).fetchone()

    def _finish(self, number: int, outcome: str) -> None:
        job = self.jobs.pop(number)
        refused = outcome == "hard_failed"
        finished = self._call(
            "finish_send", job, outcome=outcome, fault="recipient" if refused else "connection", reason=None,
            smtp_code=550 if refused else None, enhanced_code=None, smtp_reply=None, provider_message_id=None,
            retry_seconds=0, park_seconds=60,
        )  # fmt: skip
        if finished:
            self.results.append(job.key)

    def _apply(self, keys: Callable[[Any], list[SendKey]], settles: int = 86_400) -> None:
        with connect(self.world.pipeline_url, name="model results") as connection:
            apply_sends(connection, keys(connection), now=datetime.now(UTC), unknown_settles=settles)


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_no_order_of_events_violates_an_invariant(world: World, database: Any) -> None:
    record_history(world.connection)
    world.settings = world.settings.model_copy(update={"plan_lead_seconds": 0})
    model = type("Model", (ChainModel,), {"world": world, "worker_url": database.worker})
    run_model(
        model,
        settings=settings(
            max_examples=EXAMPLES or 8,
            stateful_step_count=40 if EXAMPLES else 25,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
