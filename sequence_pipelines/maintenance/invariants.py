"""The promises of the whole chain, as one pure function over what happened, what is stored and what was accepted.

`check_invariants` knows no database, no queue and no server: tests hand it what their faults left behind, an operator
hands it the ledger (`sequences verify`). What a plan promises of its own places is in sequence_pipelines.planning.engine.plan_invariants.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import LIVE, REUSABLE, SPENT, TRANSITIONS, SendStatus


class Invariant(StrEnum):
    """What has to hold whatever is killed, lost, doubled or late; docs/reliability.md says how each is kept."""

    AT_MOST_ONCE = "I1"
    SENT_IS_ACCEPTED = "I2"
    NOTHING_AFTER_A_STOP = "I3"
    LIMITS_AND_GAPS = "I4"
    EVERYTHING_ENDS = "I5"
    STEPS_GO_FORWARD_ONCE = "I6"
    ONE_ROW = "I7"
    ONLY_DRAWN_EDGES = "I8"
    OUTBOX_IS_PUBLISHED = "I9"
    QUEUES_DRAIN = "I10"
    NO_ADDRESS_LEAKS = "I11"
    PLANNING_AGAIN_CHANGES_NOTHING = "I12"
    TWO_PLANS_ARE_ONE = "I13"
    UNKNOWN_IS_COUNTED_AND_SETTLED_ONCE = "I14"


class Violation(NamedTuple):
    """What does not hold, in ids alone."""

    invariant: Invariant
    message: str
    key: SendKey | None = None


# --- what happened -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transition:
    """A row of `sends` was entered (before: None) or changed its status, its attempt or its advancement."""

    at: datetime
    key: SendKey
    before: SendStatus | None
    after: SendStatus
    attempt_before: int
    attempt: int
    mailbox_id: int
    send_at: datetime
    not_after: datetime
    advanced: bool = False  # this change set advanced_at
    restored: bool = False  # `sequences restore-guard` made it up, from what is known or must be feared


@dataclass(frozen=True)
class Moved:
    """An enrolment changed its round or its step."""

    at: datetime
    sequence_id: int
    contact_id: int
    round_before: int
    round: int
    step_before: int
    step: int


@dataclass(frozen=True)
class Gate:
    """Somebody shut a gate, or opened it again: from then on no transmission of its sends may begin."""

    at: datetime
    of: Literal["contact", "sequence", "mailbox", "step", "enrolment"]
    ids: tuple[int, ...]  # an enrolment's: sequence, contact
    shut: bool


@dataclass(frozen=True)
class Text:
    """Something that was written where others read it: a log, a queue's body, an answer, a run's metadata."""

    where: str
    content: str


@dataclass(frozen=True)
class Again:
    """The rows of the ledger before and after a plan that should have changed none: made again, or beside another."""

    invariant: Literal[Invariant.PLANNING_AGAIN_CHANGES_NOTHING, Invariant.TWO_PLANS_ARE_ONE]
    before: Mapping[SendKey, object]
    after: Mapping[SendKey, object]


Event = Transition | Moved | Gate | Text | Again


# --- what is stored ------------------------------------------------------------------------------------------------


class Send(NamedTuple):
    """A row of the ledger, with what it is judged by; in the order of sql/verify.sql's columns."""

    sequence_id: int
    contact_id: int
    step_id: int
    round: int
    mailbox_id: int
    plan_day: date
    send_day: date
    send_at: datetime
    not_after: datetime
    status: SendStatus | str
    attempt: int = 1
    reason: str | None = None
    smtp_reply: str | None = None
    dispatched_at: datetime | None = None
    lease_until: datetime | None = None
    transmitting_at: datetime | None = None
    finished_at: datetime | None = None
    advanced_at: datetime | None = None
    holds_claim: bool = False
    step_number: int | None = None
    step_updated: datetime | None = None
    enrolment_round: int | None = None
    current_step: int | None = None
    last_send: date | None = None
    suppressed_at: datetime | None = None
    archived_status: str | None = None
    gap_seconds: int = 0
    mailbox_updated: datetime | None = None
    settled_sent: int = 0
    settled_retry: int = 0

    @property
    def key(self) -> SendKey:
        return SendKey(self.sequence_id, self.contact_id, self.step_id, self.round)

    @property
    def restored(self) -> bool:
        """Whether `sequences restore-guard` made up what became of it: then its times and its place say nothing."""
        return self.reason == "restored"


class MailboxDay(NamedTuple):
    """What a mailbox's local day allowed and what was counted directly before DATA."""

    mailbox_id: int
    send_day: date
    allowed: int
    send_limit: int
    used: int
    last_at: datetime | None
    mailbox_updated: datetime | None


class QueueState(NamedTuple):
    """A queue once everybody has rested: its messages, its dead letters, and the poison that was put in."""

    name: str
    messages: int
    dead_letters: int
    poison: int = 0


@dataclass(frozen=True)
class Bounds:
    """How long what is under way may take; the defaults are the settings' own and a margin of an hour."""

    vanished: timedelta = timedelta(seconds=600)
    transmitting: timedelta = timedelta(seconds=900)
    unknown_settles: timedelta = timedelta(hours=24)
    margin: timedelta = timedelta(hours=1)  # sweeps come by every quarter of an hour
    race: timedelta = timedelta(seconds=10)  # a bounce locks no contact: from its word to its commit


@dataclass(frozen=True)
class Snapshot:
    """The stored state. `sends` is read once, in the order of send_at, so it may be a cursor of any length."""

    now: datetime
    sends: Iterable[Send]
    mailbox_days: Iterable[MailboxDay] = ()
    queues: Sequence[QueueState] = ()
    unknown_shown: int | None = None  # what the check `nothing_unknown` counts
    private: Sequence[str] = ()  # addresses and secrets that no Text may hold
    bounds: Bounds = field(default_factory=Bounds)


class Accepted(NamedTuple):
    """A mail for which a server took responsibility."""

    key: SendKey
    at: datetime


def check_invariants(
    history: Iterable[Event], database: Snapshot, accepted: Iterable[Accepted] | None
) -> Iterator[Violation]:
    """Yield what does not hold; nothing, if all of it does. `accepted` is None where no server's word is at hand.

    Memory: two planning days of rows, as integers, and all of `history` and `accepted`.
    """
    mails = None if accepted is None else Counter(mail.key for mail in accepted)
    unseen = set(mails or ())
    days = _Days(database.bounds)
    unknown = 0
    for send in database.sends:
        unseen.discard(send.key)
        unknown += send.status == SendStatus.UNKNOWN and send.advanced_at is None
        for rule in _ROW_RULES:
            yield from rule(send, database)
        if mails is not None:
            yield from _compare(send, mails[send.key])
        yield from days.add(send)
    yield from days.compare(database.mailbox_days)
    for key in sorted(unseen):
        yield Violation(
            Invariant.OUTBOX_IS_PUBLISHED, "a mail was accepted for a send that is not stored", key
        )
    if database.unknown_shown not in (None, unknown):
        yield Violation(
            Invariant.UNKNOWN_IS_COUNTED_AND_SETTLED_ONCE,
            f"{unknown} unknown, {database.unknown_shown} shown",
        )
    yield from _check_queues(database.queues)
    yield from _check_history(list(history), database)


# --- rules of one row ----------------------------------------------------------------------------------------------

_NEEDS = {
    SendStatus.DISPATCHED: ("dispatched_at",),
    SendStatus.CLAIMED: ("lease_until", "holds_claim"),
    SendStatus.TRANSMITTING: ("transmitting_at", "holds_claim"),
    SendStatus.SENT: ("transmitting_at",),
    SendStatus.HARD_FAILED: ("finished_at",),
    SendStatus.UNKNOWN: ("transmitting_at", "finished_at"),
}
_MUST_NOT_HAVE = {
    SendStatus.PLANNED: ("dispatched_at", "lease_until", "transmitting_at", "finished_at", "holds_claim"),
    SendStatus.CANCELLED: ("lease_until", "advanced_at", "finished_at"),
    SendStatus.EXPIRED: ("lease_until", "advanced_at", "finished_at"),
}
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w")


def _has_the_shape_of_its_status(send: Send, _: Snapshot) -> Iterator[Violation]:
    if send.restored:
        return
    status = SendStatus(send.status)
    missing = [name for name in _NEEDS.get(status, ()) if not getattr(send, name)]
    left_over = [name for name in _MUST_NOT_HAVE.get(status, ()) if getattr(send, name)]
    if missing:
        yield Violation(Invariant.ONLY_DRAWN_EDGES, f"{status} without {', '.join(missing)}", send.key)
    if left_over:
        yield Violation(Invariant.ONLY_DRAWN_EDGES, f"{status} with {', '.join(left_over)}", send.key)


def _went_out_in_its_time(send: Send, database: Snapshot) -> Iterator[Violation]:
    began = send.transmitting_at
    if began is None or send.status in REUSABLE:
        return
    if not send.send_at <= began <= send.not_after:
        yield Violation(
            Invariant.NOTHING_AFTER_A_STOP, "was transmitted outside send_at … not_after", send.key
        )
    if send.suppressed_at is not None and began > send.suppressed_at + database.bounds.race:
        yield Violation(Invariant.NOTHING_AFTER_A_STOP, "was transmitted after its suppression", send.key)


def _comes_to_an_end(send: Send, database: Snapshot) -> Iterator[Violation]:
    bounds, status = database.bounds, SendStatus(send.status)
    began: datetime | None = None
    within = timedelta(0)
    if status is SendStatus.TRANSMITTING:
        began, within = send.transmitting_at, bounds.transmitting
    elif status is SendStatus.UNKNOWN and send.advanced_at is None:
        began, within = send.finished_at or send.transmitting_at or send.send_at, bounds.unknown_settles
    elif status in SPENT and send.advanced_at is None:
        began = send.finished_at or send.transmitting_at or send.send_at
    elif status is SendStatus.DISPATCHED:
        began, within = max(send.send_at, send.dispatched_at or send.send_at), bounds.vanished
    elif status is SendStatus.CLAIMED:
        began, within = send.lease_until, bounds.vanished
    elif status is SendStatus.PLANNED:
        began = send.send_at
    if began is not None and began + within + bounds.margin < database.now:
        kind = Invariant.OUTBOX_IS_PUBLISHED if status is SendStatus.PLANNED else Invariant.EVERYTHING_ENDS
        words = "not advanced" if status in SPENT else str(status)
        yield Violation(kind, f"{words} since {began:%Y-%m-%d %H:%M:%S}", send.key)


def _moved_its_enrolment(send: Send, _: Snapshot) -> Iterator[Violation]:
    if (  # a step that was renumbered since says nothing
        send.advanced_at is None
        or send.status not in {SendStatus.SENT, SendStatus.UNKNOWN}
        or send.enrolment_round != send.round
        or send.step_number is None
        or send.current_step is None
        or (send.step_updated is not None and send.step_updated > send.advanced_at)
    ):
        return
    if send.current_step <= send.step_number or send.last_send is None or send.last_send < send.plan_day:
        yield Violation(Invariant.STEPS_GO_FORWARD_ONCE, "is advanced, and its enrolment is not", send.key)


def _is_nowhere_else(send: Send, _: Snapshot) -> Iterator[Violation]:
    if send.archived_status in SPENT and send.status in SPENT:
        yield Violation(
            Invariant.ONE_ROW, f"is {send.status}, and in the archive {send.archived_status}", send.key
        )


def _was_settled_once(send: Send, _: Snapshot) -> Iterator[Violation]:
    kind = Invariant.UNKNOWN_IS_COUNTED_AND_SETTLED_ONCE
    if send.settled_sent > 1:
        yield Violation(kind, f"was settled as sent {send.settled_sent} times", send.key)
    if send.settled_retry >= send.attempt:
        yield Violation(
            kind, f"was settled as retry {send.settled_retry} times in {send.attempt} attempts", send.key
        )


def _tells_no_address(send: Send, _: Snapshot) -> Iterator[Violation]:
    for name in ("reason", "smtp_reply"):
        if _ADDRESS.search(getattr(send, name) or ""):
            yield Violation(Invariant.NO_ADDRESS_LEAKS, f"{name} holds an address", send.key)


_ROW_RULES: tuple[Callable[[Send, Snapshot], Iterator[Violation]], ...] = (
    _has_the_shape_of_its_status,
    _went_out_in_its_time,
    _comes_to_an_end,
    _moved_its_enrolment,
    _is_nowhere_else,
    _was_settled_once,
    _tells_no_address,
)


def _compare(send: Send, accepted: int) -> Iterator[Violation]:
    """Compare what servers took with what the row says; a person's retry allows one mail more."""
    if accepted > 1 + send.settled_retry:
        yield Violation(Invariant.AT_MOST_ONCE, f"was accepted {accepted} times", send.key)
    may_be_out = {SendStatus.SENT, SendStatus.TRANSMITTING, SendStatus.UNKNOWN}
    if accepted and send.status not in may_be_out and not send.settled_retry:
        yield Violation(Invariant.SENT_IS_ACCEPTED, f"was accepted and is {send.status}", send.key)
    if not accepted and send.status == SendStatus.SENT and not send.settled_sent:
        yield Violation(Invariant.SENT_IS_ACCEPTED, "is sent and was never accepted", send.key)


# --- rules of a day ------------------------------------------------------------------------------------------------

_COUNTED = frozenset({SendStatus.TRANSMITTING, SendStatus.SENT, SendStatus.UNKNOWN})
_KEPT = timedelta(days=3)


class _Days:
    """What rows of a day have to agree on. Rows come by send_at, so what is three days old can be forgotten."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._counted: Counter[tuple[int, date]] = Counter()
        self._contacts: defaultdict[date, set[int]] = defaultdict(set)
        self._keys: defaultdict[date, set[int]] = defaultdict(set)
        self._times: defaultdict[int, list[datetime]] = defaultdict(list)

    def add(self, send: Send) -> Iterator[Violation]:
        self._forget(send.plan_day - _KEPT)
        name = hash(send.key)
        if any(name in keys for keys in self._keys.values()):
            yield Violation(Invariant.ONE_ROW, "is stored twice", send.key)
        self._keys[send.plan_day].add(name)
        if (send.status in LIVE or send.status in SPENT) and not send.restored:
            if send.contact_id in self._contacts[send.plan_day]:
                yield Violation(Invariant.LIMITS_AND_GAPS, f"a second mail on {send.plan_day}", send.key)
            self._contacts[send.plan_day].add(send.contact_id)
        if send.status in _COUNTED:
            self._counted[send.mailbox_id, send.send_day] += 1
        if send.gap_seconds and send.transmitting_at is not None:
            yield from self._add_time(send, send.transmitting_at)

    def _add_time(self, send: Send, at: datetime) -> Iterator[Violation]:
        """Find mails that are too near; a gap that was widened later says nothing of them."""
        times = self._times[send.mailbox_id]
        place = bisect(times, at)
        times.insert(place, at)
        neighbours = [*times[max(0, place - 1) : place], *times[place + 1 : place + 2]]
        since = send.mailbox_updated
        if any(
            abs(at - other).total_seconds() < send.gap_seconds and (since is None or min(at, other) > since)
            for other in neighbours
        ):
            yield Violation(Invariant.LIMITS_AND_GAPS, "is nearer to another mail than the gap", send.key)
        if len(times) > 2 and at - times[0] > _KEPT:  # noqa: PLR2004
            del times[: bisect(times, at - _KEPT)]

    def _forget(self, before: date) -> None:
        for days in (self._contacts, self._keys):
            for day in [day for day in days if day < before]:
                del days[day]

    def compare(self, mailbox_days: Iterable[MailboxDay]) -> Iterator[Violation]:
        """Compare with what was counted; a limit that was lowered after the day's last mail says nothing."""
        counted = self._counted.copy()
        for day in mailbox_days:
            sent = counted.pop((day.mailbox_id, day.send_day), 0)
            where = f"mailbox {day.mailbox_id} on {day.send_day}"
            if sent > day.used:
                yield Violation(
                    Invariant.LIMITS_AND_GAPS, f"{where}: {sent} went out, {day.used} were counted"
                )
            lowered = day.mailbox_updated is not None and (
                day.last_at is None or day.mailbox_updated >= day.last_at
            )
            if day.used > min(day.allowed, day.send_limit) and not lowered:
                yield Violation(
                    Invariant.LIMITS_AND_GAPS,
                    f"{where}: {day.used} of {min(day.allowed, day.send_limit)} allowed",
                )
        for (mailbox, send_day), sent in counted.items():
            yield Violation(
                Invariant.LIMITS_AND_GAPS,
                f"mailbox {mailbox} on {send_day}: {sent} went out, none were counted",
            )


# --- rules of queues and history -----------------------------------------------------------------------------------


def _check_queues(queues: Sequence[QueueState]) -> Iterator[Violation]:
    for queue in queues:
        if queue.messages:
            yield Violation(Invariant.QUEUES_DRAIN, f"{queue.name}: {queue.messages} messages are left")
        if queue.dead_letters != queue.poison:
            yield Violation(
                Invariant.QUEUES_DRAIN, f"{queue.name}: {queue.dead_letters} dead letters of {queue.poison}"
            )


def _check_history(history: list[Event], database: Snapshot) -> Iterator[Violation]:
    transitions = [event for event in history if isinstance(event, Transition)]
    gates = _Gates([event for event in history if isinstance(event, Gate)], database.bounds.race)
    for event in history:
        match event:
            case Transition():
                yield from _check_edge(event)
                yield from gates.check(event)
            case Moved():
                yield from _check_move(event)
            case Text():
                if any(word in event.content for word in database.private):
                    yield Violation(Invariant.NO_ADDRESS_LEAKS, f"{event.where} holds what is private")
            case Again():
                yield from _check_again(event)
            case Gate():
                pass
    yield from _check_counts(transitions)


def _check_edge(event: Transition) -> Iterator[Violation]:
    if event.restored:
        return
    drawn = event.before is None or event.before == event.after or (event.before, event.after) in TRANSITIONS
    if not drawn or (event.before is None and event.after is not SendStatus.PLANNED):
        yield Violation(Invariant.ONLY_DRAWN_EDGES, f"{event.before} became {event.after}", event.key)
    returned = event.before not in (None, SendStatus.PLANNED) and event.after is SendStatus.PLANNED
    if event.attempt < event.attempt_before + returned:
        yield Violation(
            Invariant.ONLY_DRAWN_EDGES,
            f"{event.after} with attempt {event.attempt} after {event.attempt_before}",
            event.key,
        )


def _check_move(event: Moved) -> Iterator[Violation]:
    if event.round < event.round_before or (
        event.round == event.round_before and event.step < event.step_before
    ):
        yield Violation(
            Invariant.STEPS_GO_FORWARD_ONCE,
            f"enrolment {event.sequence_id}, {event.contact_id} went back from step {event.step_before} to {event.step}",
        )


def _check_again(event: Again) -> Iterator[Violation]:
    for key in sorted(event.before.keys() | event.after.keys()):
        if event.before.get(key) != event.after.get(key):
            yield Violation(event.invariant, f"{event.before.get(key)} became {event.after.get(key)}", key)


def _check_counts(transitions: list[Transition]) -> Iterator[Violation]:
    """Each outcome is applied once, and each unknown is settled once."""
    advanced = Counter(event.key for event in transitions if event.advanced)
    unknown = Counter(event.key for event in transitions if event.after is SendStatus.UNKNOWN != event.before)
    settled = Counter(event.key for event in transitions if event.before is SendStatus.UNKNOWN != event.after)
    for key, times in advanced.items():
        if times > 1:
            yield Violation(Invariant.STEPS_GO_FORWARD_ONCE, f"was applied {times} times", key)
    for key, times in settled.items():
        if times > unknown[key]:
            kind = Invariant.UNKNOWN_IS_COUNTED_AND_SETTLED_ONCE
            yield Violation(kind, f"was settled {times} times, unknown {unknown[key]} times", key)


class _Gates:
    """When which gate was shut."""

    def __init__(self, gates: list[Gate], race: timedelta) -> None:
        self._race = race
        self._words: defaultdict[tuple[str, tuple[int, ...]], list[Gate]] = defaultdict(list)
        for gate in gates:
            self._words[gate.of, gate.ids].append(gate)

    def check(self, event: Transition) -> Iterator[Violation]:
        if event.after is not SendStatus.TRANSMITTING or event.before is SendStatus.TRANSMITTING:
            return
        if not event.send_at <= event.at <= event.not_after:
            yield Violation(
                Invariant.NOTHING_AFTER_A_STOP, "was begun outside send_at … not_after", event.key
            )
        sequence, contact, step, _ = event.key
        gates: tuple[tuple[str, tuple[int, ...]], ...] = (
            ("contact", (contact,)),
            ("sequence", (sequence,)),
            ("mailbox", (event.mailbox_id,)),
            ("step", (step,)),
            ("enrolment", (sequence, contact)),
        )
        for of, ids in gates:
            said = [gate for gate in self._words.get((of, ids), ()) if gate.at <= event.at]
            if said and said[-1].shut and event.at > said[-1].at + self._race:
                yield Violation(
                    Invariant.NOTHING_AFTER_A_STOP, f"was begun after its {of} was stopped", event.key
                )
