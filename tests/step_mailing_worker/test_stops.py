"""Tests of what follows from a mail: whom it stops, holds and suppresses; nothing goes out afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from sequence_store.settings import WorkerSettings
from tests.conftest import Database

BOUNDS = {"park_seconds": 60, "match_days": 30, "away_days": 3, "company_most": 3}
MOST_STEPS = 40


@dataclass
class World:
    """Two sequences and one mailbox; enters contacts, mails them and records mails, as the roles do."""

    connection: psycopg.Connection[Any]
    pads: bytes
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    mailbox: int = 0
    sequences: dict[str, int] = field(default_factory=dict)
    steps: dict[int, list[int]] = field(default_factory=dict)
    used: dict[tuple[int, int], int] = field(default_factory=dict)

    def one(self, statement: str, *values: Any) -> Any:
        row = self.connection.execute(statement, values).fetchone()  # type: ignore[arg-type]
        return None if row is None else row[0] if len(row) == 1 else row

    def enter(self, **scopes: str) -> None:
        number = next(self.numbers)
        self.mailbox = self.one(
            "INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)"
            " VALUES (%s, 100000, '0:00', '0:00') RETURNING id",
            f"ann{number}@sender{number}.example",
        )
        for name, scope in scopes.items():
            sequence = self.one(
                "INSERT INTO sequences (sequence_name, reply_stops) VALUES (%s, %s) RETURNING id",
                f"{name} {number}",
                scope,
            )
            self.sequences[name] = sequence
            self.steps[sequence] = [
                self.one(
                    "INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content)"
                    " VALUES (%s, %s, 'Hi', 'Hi') RETURNING id",
                    sequence,
                    step,
                )
                for step in range(1, MOST_STEPS + 1)
            ]

    def contact(self, address: str) -> int:
        contact = self.one(
            "INSERT INTO contacts (name, mail_address) VALUES ('Bob', %s) RETURNING id", address
        )
        for sequence in self.sequences.values():
            self.connection.execute(
                "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send)"
                " VALUES (%s, %s, current_date)",
                (sequence, contact),
            )
        return int(contact)

    def mail(self, contact: int, name: str = "a", *, days: int = 0) -> tuple[int, ...] | str:
        """Try to mail the contact's next step; return the send's key, or the gate that is closed."""
        sequence = self.sequences[name]
        place = self.used.get((sequence, contact), 0)
        self.used[sequence, contact] = place + 1
        step = self.steps[sequence][place]
        round_ = self.one(
            "SELECT round FROM sequences_contacts WHERE sequence_id = %s AND contact_id = %s",
            sequence,
            contact,
        )
        key = (sequence, contact, step, round_)
        self.connection.execute(
            "INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,"
            " send_day, send_at, not_after) VALUES (%s, %s, %s, %s, %s, current_date, current_date,"
            " current_date + %s, now() - interval '1 second', now() + interval '1 hour')",
            (*key, self.mailbox, days),
        )
        claim = uuid4()
        verdict, reason = self.one(
            "SELECT verdict, reason FROM claim_send(%s, %s, %s, %s, 1, %s, '1 minute', %s)",
            *key,
            claim,
            self.pads,
        )
        if verdict != "claimed":
            return str(reason)
        return self.transmit(key, claim)

    def transmit(self, key: tuple[int, ...], claim: Any) -> tuple[int, ...] | str:
        verdict, reason = self.one(
            "SELECT verdict, reason FROM mark_transmitting(%s, %s, %s, %s, %s, %s)", *key, claim, self.pads
        )
        if verdict != "transmitting":
            return str(reason)
        self.one(
            "SELECT status FROM finish_send(%s, %s, %s, %s, %s, 'sent', NULL, 'accepted', 250, NULL, NULL,"
            " NULL, '1 second', '1 day', %s)",
            *key,
            claim,
            self.pads,
        )
        return key

    def receive(self, kind: str, key: tuple[int, ...] = (), **values: Any) -> str:
        """Record a mail as the mailbox reader does; return what followed."""
        call = {
            "identity": sha256(str(next(self.numbers)).encode()).hexdigest(),
            "kind": kind,
            "send": list(key),
            "folder": "INBOX",
            "uid": 1,
            "received_at": (datetime.now(UTC) + timedelta(seconds=1)).isoformat(),
            "sender": "",
            "fresh": not key,
            "away": False,
            "left": False,
            "until": None,
            "why": "",
            "detail": {},
        } | values
        return str(
            self.one(
                "SELECT outcome FROM record_mails(%s, %s::jsonb, %s::jsonb, %s)",
                self.mailbox,
                json.dumps([call]),
                json.dumps(BOUNDS),
                self.pads,
            )
        )

    def status(self, contact: int, name: str = "a") -> str:
        return str(
            self.one(
                "SELECT status FROM sequences_contacts WHERE sequence_id = %s AND contact_id = %s",
                self.sequences[name],
                contact,
            )
        )

    def feed(self, contact: int) -> list[tuple[str, dict[str, Any]]]:
        """Return what the feed shows of the contact after its mails' outcomes, in order."""
        rows = self.connection.execute(
            "SELECT feed_kind(kind), feed_detail(detail) FROM send_events"
            " WHERE contact_id = %s AND kind <> 'sent' ORDER BY id",
            (contact,),
        ).fetchall()
        return [(kind, detail) for kind, detail in rows]

    def resume(self, contact: int, name: str = "a") -> str:
        return str(
            self.one(
                "SELECT resume_enrolment(%s, %s, current_date, 'test', %s)",
                self.sequences[name],
                contact,
                self.pads,
            )
        )


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    pads = WorkerSettings(worker_database_url=database.worker).address_pads
    with database.connect("owner", autocommit=True) as connection:
        yield World(connection, pads)


def key_of(mailed: tuple[int, ...] | str) -> tuple[int, ...]:
    assert isinstance(mailed, tuple), mailed
    return mailed


@pytest.mark.parametrize(
    ("scope", "other", "reach", "open_after"),
    [
        ("sequence", "contact", "stopped_sequence", True),
        ("contact", "contact", "stopped_contact", False),
        ("contact", "sequence", "stopped_contact", True),
        ("company", "contact", "stopped_company", False),
        ("company", "sequence", "stopped_company", True),
    ],
)
def test_reply_reaches_as_far_as_the_answered_sequence_says(
    world: World, scope: str, other: str, reach: str, *, open_after: bool
) -> None:
    world.enter(a=scope, b=other)
    bob, colleague = world.contact("bob@people.example"), world.contact("eve@people.example")
    key = key_of(world.mail(bob))
    assert world.receive("reply", key) == reach
    assert world.mail(bob) == "enrolment_replied"
    assert isinstance(world.mail(bob, "b"), tuple) is open_after
    stopped = world.mail(colleague)
    assert stopped == "company_stopped" if scope == "company" else isinstance(stopped, tuple)
    if scope == "company" and other == "sequence":
        assert isinstance(world.mail(colleague, "b"), tuple)


@pytest.mark.parametrize(
    ("address", "others", "why"),
    [("bob@gmail.com", 0, "free_mail"), ("bob@large.example", 3, "too_many_contacts")],
)
def test_company_falls_back_to_the_contact_and_says_so(
    world: World, address: str, others: int, why: str
) -> None:
    world.enter(a="company")
    domain = address.partition("@")[2]
    colleagues = [world.contact(f"c{n}@{domain}") for n in range(others)]
    key = key_of(world.mail(world.contact(address)))
    assert world.receive("reply", key) == f"stopped_contact_{why}"
    assert all(isinstance(world.mail(colleague), tuple) for colleague in colleagues)


def test_reply_to_an_earlier_round_and_to_an_archived_mail_stops_the_current_round(world: World) -> None:
    world.enter(a="contact")
    bob = world.contact("bob@people.example")
    key = key_of(world.mail(bob))
    world.connection.execute(
        "INSERT INTO archived_sends SELECT sequence_id, contact_id, step_id, mailbox_id, send_at,"
        " finished_at,"
        " due_day, plan_day, send_day, attempt, smtp_code, round, status, reason, enhanced_code,"
        " provider_message_id FROM sends"
    )
    world.connection.execute("DELETE FROM sends")
    world.connection.execute("UPDATE sequences_contacts SET round = 2")
    assert isinstance(world.mail(bob), tuple)
    assert world.receive("reply", key) == "stopped_contact"
    assert world.mail(bob) == "enrolment_replied"
    assert world.feed(bob) == [("replied", {})]


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("opt_out", ["opted_out", "unsubscribed"]),
        ("unsubscribe", ["opted_out", "unsubscribed"]),
        ("auto_reply", ["auto_replied"]),
        ("complaint", ["complained"]),
        ("hard_bounce", ["bounced"]),
        ("soft_bounce", ["soft_bounced"]),
    ],
)
def test_feed_shows_what_came_back_on_an_archived_mail(world: World, kind: str, shown: list[str]) -> None:
    world.enter(a="contact")
    bob = world.contact("bob@people.example")
    key = key_of(world.mail(bob))
    world.connection.execute(
        "WITH gone AS (DELETE FROM sends RETURNING *) INSERT INTO archived_sends (sequence_id, contact_id,"
        " step_id, mailbox_id, send_at, finished_at, due_day, plan_day, send_day, attempt, round, status)"
        " SELECT sequence_id, contact_id, step_id, mailbox_id, send_at, finished_at, due_day, plan_day,"
        " send_day, attempt, round, status FROM gone"
    )
    world.receive(kind, key, sender="bob@people.example")
    assert [name for name, _ in world.feed(bob)] == shown
    is_no_reason = kind in {"auto_reply", "soft_bounce"}
    assert (world.one("SELECT count(*) FROM suppressions") == 0) == is_no_reason


def test_mail_is_judged_once_wherever_it_lies(world: World) -> None:
    world.enter(a="contact")
    key = key_of(world.mail(world.contact("bob@people.example")))
    once = {"identity": "ab" * 32}
    assert world.receive("reply", key, **once) == "stopped_contact"
    assert world.resume(key[1]) == "resumed"
    assert world.receive("reply", key, folder="Junk", uid=9, **once) == "known"
    assert world.status(key[1]) == "active"


def test_fresh_mail_is_matched_by_its_sender_only_after_a_mail_and_within_the_days(world: World) -> None:
    world.enter(a="company")
    bob = world.contact("Bob@people.example")
    colleague = world.contact("eve@people.example")
    assert world.receive("reply", sender="bob@people.example") == "none"
    key_of(world.mail(bob))
    early = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert world.receive("reply", sender="bob@people.example", received_at=early) == "none"
    late = (datetime.now(UTC) + timedelta(days=31)).isoformat()
    assert world.receive("reply", sender="bob@people.example", received_at=late) == "none"
    assert world.receive("reply", sender="bob@people.example") == "stopped_contact_not_named"
    assert isinstance(world.mail(colleague), tuple)


def test_mail_from_one_of_our_own_domains_is_not_matched(world: World) -> None:
    world.enter(a="contact")
    domain = world.one("SELECT split_part(address, '@', 2) FROM mailboxes WHERE id = %s", world.mailbox)
    key_of(world.mail(world.contact(f"joe@{domain}")))
    assert world.receive("reply", sender=f"joe@{domain}") == "none"


def test_opt_out_suppresses_only_with_a_key_and_from_the_contact_itself(world: World) -> None:
    world.enter(a="contact")
    bob, eve, joe = (world.contact(f"{name}@people.example") for name in ("bob", "eve", "joe"))
    keys = [key_of(world.mail(contact)) for contact in (bob, eve, joe)]
    assert world.receive("opt_out", keys[0], sender="BOB@people.example") == "suppressed"
    assert world.receive("opt_out", keys[1], sender="stranger@evil.example") == "opt_out_unverified"
    assert world.receive("opt_out", sender="joe@people.example") == "opt_out_unverified"
    assert world.one("SELECT count(*) FROM suppressions") == 1
    assert [world.mail(contact) for contact in (bob, eve, joe)] == [
        "enrolment_unsubscribed",
        "opt_out_unverified",
        "opt_out_unverified",
    ]
    uuid = world.one("SELECT external_id FROM contacts WHERE id = %s", eve)
    assert world.one("SELECT settle_opt_out(%s, false, 'test', %s)", uuid, world.pads)
    assert isinstance(world.mail(eve), tuple)
    uuid = world.one("SELECT external_id FROM contacts WHERE id = %s", joe)
    assert world.one("SELECT settle_opt_out(%s, true, 'test', %s)", uuid, world.pads)
    assert world.mail(joe) == "enrolment_unsubscribed"
    assert world.resume(bob) == "suppressed"
    assert [[kind for kind, _ in world.feed(contact)] for contact in (bob, eve, joe)] == [
        ["opted_out", "unsubscribed"],
        ["opted_out", "opt_out_lifted"],
        ["opted_out", "opt_out_confirmed"],
    ]


def test_absence_holds_and_never_replaces_a_persons_hold(world: World) -> None:
    world.enter(a="contact")
    bob = world.contact("bob@people.example")
    key = key_of(world.mail(bob))
    assert world.receive("auto_reply", key) == "recorded"
    assert isinstance(world.mail(bob), tuple)
    assert world.receive("auto_reply", key, away=True) == "held"
    assert world.one("SELECT hold_until - current_date, hold_reason FROM contacts WHERE id = %s", bob) == (
        3,
        "away",
    )
    assert world.mail(bob, days=3) == "away"
    assert isinstance(world.mail(bob, days=4), tuple)
    assert world.receive("auto_reply", key, away=True, until="2999-01-01") == "held"
    assert world.one("SELECT hold_until - current_date FROM contacts WHERE id = %s", bob) == 60
    world.one("SELECT hold_contact(%s, current_date, current_date + 1, 'manual')", bob)
    assert world.receive("auto_reply", key, away=True) == "recorded"
    assert world.one("SELECT hold_until - current_date, hold_reason FROM contacts WHERE id = %s", bob) == (
        1,
        "manual",
    )
    world.one("SELECT hold_contact(%s, current_date, current_date + 1, 'manual')", bob)
    for _ in range(2):
        world.one("SELECT hold_contact(%s, current_date, NULL, 'manual')", bob)
    assert isinstance(world.mail(bob), tuple)
    assert [kind for kind, _ in world.feed(bob)].count("hold_ended") == 1
    held = [(detail["reason"], detail["until"]) for kind, detail in world.feed(bob) if kind == "held"]
    today = world.one("SELECT current_date")
    assert held == [
        (reason, str(today + timedelta(days=days)))
        for reason, days in (("away", 3), ("away", 60), ("manual", 1))
    ], "a hold that changes nothing is no event"


def test_who_has_left_the_company_gets_no_more_mail(world: World) -> None:
    world.enter(a="contact", b="contact")
    bob = world.contact("bob@people.example")
    assert world.receive("auto_reply", key_of(world.mail(bob)), left=True) == "left_company"
    assert world.mail(bob, "b") == "enrolment_removed"
    assert world.resume(bob) == "resumed"
    assert [kind for kind, _ in world.feed(bob)] == ["auto_replied", "left_company", "reply_undone"]


def test_undo_begins_a_round_at_the_kept_step_in_the_same_thread(world: World) -> None:
    world.enter(a="company")
    bob, colleague = world.contact("bob@people.example"), world.contact("eve@people.example")
    key = key_of(world.mail(bob))
    world.connection.execute(
        "UPDATE sequences_contacts SET current_step = 2, last_send = current_date, mailbox_id = %s"
        " WHERE contact_id = %s",
        (world.mailbox, bob),
    )
    world.receive("reply", key)
    assert world.resume(bob) == "resumed"
    assert world.one(
        "SELECT round, status, current_step, mailbox_id FROM sequences_contacts WHERE contact_id = %s", bob
    ) == (2, "active", 2, world.mailbox)
    assert isinstance(world.mail(colleague), tuple)
    again = key_of(world.mail(bob))
    assert world.one("SELECT step_ids, rounds FROM resumed_thread(%s, %s, %s, %s)", *again) == (
        [key[2]],
        [1],
    )
    assert world.resume(bob) == "not_stopped"


def test_enrolment_that_is_made_while_a_reply_stops_the_contact_is_closed(world: World) -> None:
    world.enter(a="contact", b="contact")
    bob = world.contact("bob@people.example")
    key = key_of(world.mail(bob))
    world.connection.execute("DELETE FROM sequences_contacts WHERE sequence_id = %s", (world.sequences["b"],))
    world.connection.execute("BEGIN")
    began = world.one("SELECT now()")
    world.connection.execute("COMMIT")
    world.receive("reply", key)
    world.connection.execute(
        "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send, enrolled_at)"
        " VALUES (%s, %s, current_date, %s)",
        (world.sequences["b"], bob, began),
    )
    assert world.mail(bob, "b") == "enrolment_replied"


def test_complaints_of_one_person_park_no_mailbox(world: World) -> None:
    world.enter(a="contact")
    bob, eve = world.contact("bob@people.example"), world.contact("eve@people.example")
    keys = [key_of(world.mail(bob)), key_of(world.mail(bob)), key_of(world.mail(eve))]
    for key in keys[:2]:
        assert world.receive("complaint", key) == "recorded"
    assert world.one("SELECT parked_until FROM mailboxes WHERE id = %s", world.mailbox) is None
    assert world.receive("complaint", keys[2]) == "recorded"
    assert world.one("SELECT parked_until FROM mailboxes WHERE id = %s", world.mailbox) is not None


def test_unreadable_mail_has_a_row_and_touches_nobody(world: World) -> None:
    world.enter(a="contact")
    assert world.receive("unreadable", fresh=False) == "unreadable"
    assert world.one("SELECT kind, contact_id FROM inbox_mails") == ("unreadable", None)


class Stops(RuleBasedStateMachine):
    """Compares the gates with a model: who is stopped, in which sequences, until somebody undoes it."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.mailed: list[tuple[int, ...]] = []
        self.contacts: list[int] = []
        self.ended: set[tuple[str, int]] = set()
        self.stopped: set[int] = set()
        self.suppressed: set[int] = set()
        self.held: set[int] = set()
        self.company_by: set[int] = set()
        self.scopes: dict[str, str] = {}

    @initialize(scopes=st.tuples(*[st.sampled_from(["sequence", "contact", "company"])] * 2))
    def enter(self, scopes: tuple[str, str]) -> None:
        self.world.sequences.clear()
        self.scopes = dict(zip("ab", scopes, strict=True))
        self.world.enter(**self.scopes)
        domain = f"people{next(self.world.numbers)}.example"
        self.contacts = [self.world.contact(f"{name}@{domain}") for name in ("bob", "eve")]
        for name in "ab":
            for contact in self.contacts:
                self.mailed.append(key_of(self.world.mail(contact, name)))

    def name_of(self, key: tuple[int, ...]) -> str:
        return next(name for name, sequence in self.world.sequences.items() if sequence == key[0])

    def is_open(self, contact: int, name: str) -> bool:
        return not (
            (name, contact) in self.ended
            or contact in self.stopped | self.suppressed | self.held
            or (self.company_by and self.scopes[name] != "sequence")
        )

    @rule(place=st.integers(0, 1), name=st.sampled_from("ab"))
    def mail(self, place: int, name: str) -> None:
        contact = self.contacts[place]
        if self.world.used[self.world.sequences[name], contact] >= MOST_STEPS:
            return
        mailed = self.world.mail(contact, name)
        assert isinstance(mailed, tuple) is self.is_open(contact, name), (mailed, contact, name)
        if isinstance(mailed, tuple):
            self.mailed.append(mailed)

    @rule(data=st.data(), api=st.booleans())
    def reply(self, data: st.DataObject, api: bool) -> None:
        key = data.draw(st.sampled_from(self.mailed))
        name, contact = self.name_of(key), key[1]
        if api:
            self.world.one("SELECT report_reply(%s, %s, 3)", key[0], contact)
        else:
            assert self.world.receive("reply", key).startswith("stopped_")
        self.ended.add((name, contact))
        if self.scopes[name] != "sequence":
            self.ended |= {(other, contact) for other in "ab" if self.scopes[other] != "sequence"}
        if self.scopes[name] == "company":
            self.company_by.add(contact)

    @rule(data=st.data(), forged=st.booleans())
    def opt_out(self, data: st.DataObject, forged: bool) -> None:
        key = data.draw(st.sampled_from(self.mailed))
        address = self.world.one("SELECT mail_address FROM contacts WHERE id = %s", key[1])
        followed = self.world.receive("opt_out", key, sender="x@evil.example" if forged else address)
        if forged:
            assert followed == "opt_out_unverified"
            self.stopped.add(key[1])
        else:
            assert followed == "suppressed"
            self.suppressed.add(key[1])
            self.stopped.discard(key[1])

    @rule(place=st.integers(0, 1), ends=st.booleans())
    def hold(self, place: int, ends: bool) -> None:
        contact = self.contacts[place]
        until = None if ends else datetime.now(UTC).date() + timedelta(days=2)
        self.world.one("SELECT hold_contact(%s, current_date, %s, 'manual')", contact, until)
        (self.held.discard if ends else self.held.add)(contact)

    @rule(place=st.integers(0, 1), name=st.sampled_from("ab"))
    def undo(self, place: int, name: str) -> None:
        contact = self.contacts[place]
        if self.world.resume(contact, name) == "resumed":
            assert contact not in self.suppressed
            self.ended.discard((name, contact))
            self.stopped.discard(contact)
            self.company_by.discard(contact)

    @rule(place=st.integers(0, 1), name=st.sampled_from("ab"))
    def enrol_again(self, place: int, name: str) -> None:
        contact = self.contacts[place]
        if self.world.status(contact, name) in {"active", "paused"}:
            return
        self.world.connection.execute(
            "UPDATE sequences_contacts SET round = round + 1, status = 'active', next_send = current_date,"
            " enrolled_at = clock_timestamp() WHERE sequence_id = %s AND contact_id = %s",
            (self.world.sequences[name], contact),
        )
        self.ended.discard((name, contact))

    @invariant()
    def no_stranger_suppresses(self) -> None:
        for contact in self.contacts:
            suppressed = self.world.one(
                "SELECT EXISTS (SELECT FROM suppressions s JOIN contacts c"
                " ON s.address_hmac = address_hmac(c.mail_address, %s) WHERE c.id = %s)",
                self.world.pads,
                contact,
            )
            assert suppressed is (contact in self.suppressed)


def test_nothing_is_transmitted_after_any_interleaving_of_stops(world: World) -> None:
    class Here(Stops):
        pass

    Here.world = world
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Here,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_stops_and_gates_at_the_same_time_neither_deadlock_nor_let_a_mail_pass(
    world: World, database: Database
) -> None:
    world.enter(a="company", b="contact")
    bob, eve = world.contact("bob@people.example"), world.contact("eve@people.example")
    keys = [key_of(world.mail(contact, name)) for contact in (bob, eve) for name in "ab"]
    failures: list[BaseException] = []
    stopped_at: list[datetime] = []

    def gates(contact: int, name: str) -> None:
        with database.connect("owner", autocommit=True) as own:
            other = World(own, world.pads, world.numbers, world.mailbox, world.sequences, world.steps)
            for place in range(10, 30):
                other.used[world.sequences[name], contact] = place
                try:
                    other.mail(contact, name)
                except psycopg.errors.DeadlockDetected as error:
                    failures.append(error)

    def stops(key: tuple[int, ...]) -> None:
        with database.connect("owner", autocommit=True) as own:
            other = World(own, world.pads, world.numbers, world.mailbox, world.sequences, world.steps)
            try:
                other.receive("reply", key)
                stopped_at.append(other.one("SELECT clock_timestamp()"))
            except psycopg.errors.DeadlockDetected as error:
                failures.append(error)

    threads = [
        threading.Thread(target=gates, args=(key[1], name)) for key, name in zip(keys, "abab", strict=True)
    ]
    threads += [threading.Thread(target=stops, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(stopped_at) == 4
    late = world.one("SELECT count(*) FROM sends WHERE transmitting_at > %s", max(stopped_at))
    assert late == 0
