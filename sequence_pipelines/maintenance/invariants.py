"""Checks the delivery invariants with one pure function: on the history, the rows and the accepted mails.

`check_invariants` uses no database, queue or server: tests pass the data that their faults left behind, and
`sequences verify` passes the ledger. The invariants of a single plan are in
`sequence_pipelines.planning.engine.plan_invariants`.
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
from sequence_store.domain.states import LIVE, REUSABLE, SPENT, TRANSITIONS, SendReason, SendStatus


class Invariant(StrEnum):
    """The rules that hold whatever is killed, lost, duplicated or late; docs/reliability.md explains each."""

    AT_MOST_ONCE = "I1"
    SENT_IS_ACCEPTED = "I2"
    NOTHING_AFTER_A_STOP = "I3"
    LIMITS_AND_GAPS = "I4"
    EVERYTHING_ENDS = "I5"
    STEPS_GO_FORWARD_ONCE = "I6"
    ONE_ROW = "I7"
    ONLY_KNOWN_TRANSITIONS = "I8"
    OUTBOX_IS_PUBLISHED = "I9"
    QUEUES_DRAIN = "I10"
    NO_ADDRESS_LEAKS = "I11"
    PLANNING_AGAIN_CHANGES_NOTHING = "I12"
    TWO_PLANS_ARE_ONE = "I13"
    UNKNOWN_IS_COUNTED_STATES_AND_SETTLED_ONCE = "I14"


class Violation(NamedTuple):
    """A violated invariant, described without addresses; `key` names the send, if there is one."""

    invariant: Invariant
    message: str
    key: SendKey | None = None


# --- history ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transition:
    """A row of `sends` was inserted (`before` is None) or changed its status, attempt or advanced_at."""

    at: datetime
    key: SendKey
    before: SendStatus | None
    after: SendStatus
    attempt_before: int
    attempt: int
    mailbox_id: int
    send_at: datetime
    not_after: datetime
    advanced: bool = False  # the change set advanced_at
    restored: bool = False  # written by `sequences restore-guard`, so the times are not real


@dataclass(frozen=True)
class Moved:
    """An enrolment changed its round or step."""

    at: datetime
    sequence_id: int
    contact_id: int
    round_before: int
    round: int
    step_before: int
    step: int


@dataclass(frozen=True)
class Gate:
    """A gate was shut or opened: while it is shut, no transmission of its sends may begin."""

    at: datetime
    of: Literal["contact", "sequence", "mailbox", "step", "enrolment"]
    ids: tuple[int, ...]  # of an enrolment: sequence, contact
    shut: bool


@dataclass(frozen=True)
class Text:
    """A text that others can read: a log line, a message, a response, or the metadata of a run."""

    where: str
    content: str


@dataclass(frozen=True)
class PlanComparison:
    """The ledger before and after a plan that must change no row: a repeated or a concurrent plan."""

    invariant: Literal[Invariant.PLANNING_AGAIN_CHANGES_NOTHING, Invariant.TWO_PLANS_ARE_ONE]
    before: Mapping[SendKey, object]
    after: Mapping[SendKey, object]


Event = Transition | Moved | Gate | Text | PlanComparison


# --- stored state -------------------------------------------------------------------------------------------


class Send(NamedTuple):
    """A row of the ledger and the values to check it by, in the order of `read_sends` in verify.sql."""

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
    stopped_at: datetime | None = None  # by a reply, or by an opt-out that is not confirmed
    held_at: datetime | None = None  # if the contact is held on the send's date

    @property
    def key(self) -> SendKey:
        return SendKey(self.sequence_id, self.contact_id, self.step_id, self.round)

    @property
    def restored(self) -> bool:
        """True if `sequences restore-guard` wrote the outcome, so the times and the slot are not real."""
        return self.reason == SendReason.RESTORED


class MailboxDay(NamedTuple):
    """The limit of a mailbox's local day, and the mails that were counted directly before DATA."""

    mailbox_id: int
    send_day: date
    allowed: int
    send_limit: int
    used: int
    last_at: datetime | None
    mailbox_updated: datetime | None


class Pause(NamedTuple):
    """A time in which no transmission may start; `until` is None if it is still open."""

    since: datetime
    until: datetime | None


class QueueState(NamedTuple):
    """A queue when all programs are idle; `poison` counts the unreadable messages that were sent to it."""

    name: str
    messages: int
    dead_letters: int
    poison: int = 0


@dataclass(frozen=True)
class Bounds:
    """The longest times that a send may be in progress; the defaults are those of the settings."""

    vanished: timedelta = timedelta(seconds=600)
    transmitting: timedelta = timedelta(seconds=900)
    unknown_settles: timedelta = timedelta(hours=24)
    margin: timedelta = timedelta(hours=1)  # `reconcile` runs every 15 minutes
    race: timedelta = timedelta(seconds=10)  # from a bounce's time to its commit: it locks no contact


@dataclass(frozen=True)
class Snapshot:
    """The stored state. `sends` is read once, ordered by send_at, so it can be a cursor of any length."""

    now: datetime
    sends: Iterable[Send]
    mailbox_days: Iterable[MailboxDay] = ()
    queues: Sequence[QueueState] = ()
    pauses: Sequence[Pause] = ()
    unknown_shown: int | None = None  # the count of the check `nothing_unknown`
    private: Sequence[str] = ()  # addresses and secrets that no Text may contain
    bounds: Bounds = field(default_factory=Bounds)


class Accepted(NamedTuple):
    """A mail that a mail server accepted."""

    key: SendKey
    at: datetime


def check_invariants(
    history: Iterable[Event], database: Snapshot, accepted: Iterable[Accepted] | None
) -> Iterator[Violation]:
    """Yield the violations. `accepted` is None if the records of the mail servers are not available.

    Keeps in memory: two planning days of rows, as integers, and all of `history` and `accepted`.
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
            Invariant.OUTBOX_IS_PUBLISHED, "a mail server accepted a mail for a send that has no row", key
        )
    if database.unknown_shown not in (None, unknown):
        yield Violation(
            Invariant.UNKNOWN_IS_COUNTED_STATES_AND_SETTLED_ONCE,
            f"{unknown} sends are unknown, but {database.unknown_shown} are shown",
        )
    yield from _check_queues(database.queues)
    yield from _check_history(list(history), database)


# --- rules of one row ---------------------------------------------------------------------------------------

_REQUIRED = {
    SendStatus.DISPATCHED: ("dispatched_at",),
    SendStatus.CLAIMED: ("lease_until", "holds_claim"),
    SendStatus.TRANSMITTING: ("transmitting_at", "holds_claim"),
    SendStatus.SENT: ("transmitting_at",),
    SendStatus.HARD_FAILED: ("finished_at",),
    SendStatus.UNKNOWN: ("transmitting_at", "finished_at"),
}
_FORBIDDEN = {
    SendStatus.PLANNED: ("dispatched_at", "lease_until", "transmitting_at", "finished_at", "holds_claim"),
    SendStatus.CANCELLED: ("lease_until", "advanced_at", "finished_at"),
    SendStatus.EXPIRED: ("lease_until", "advanced_at", "finished_at"),
}
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w")


def _check_columns(send: Send, _: Snapshot) -> Iterator[Violation]:
    if send.restored:
        return
    status = SendStatus(send.status)
    missing = [name for name in _REQUIRED.get(status, ()) if not getattr(send, name)]
    left_over = [name for name in _FORBIDDEN.get(status, ()) if getattr(send, name)]
    if missing:
        yield Violation(
            Invariant.ONLY_KNOWN_TRANSITIONS,
            f"has the status {status} without {', '.join(missing)}",
            send.key,
        )
    if left_over:
        yield Violation(
            Invariant.ONLY_KNOWN_TRANSITIONS, f"has the status {status} with {', '.join(left_over)}", send.key
        )


def _check_time(send: Send, database: Snapshot) -> Iterator[Violation]:
    began = send.transmitting_at
    if began is None or send.status in REUSABLE:
        return
    if not send.send_at <= began <= send.not_after:
        yield Violation(
            Invariant.NOTHING_AFTER_A_STOP, "was transmitted before send_at or after not_after", send.key
        )
    # No bound for a race: the pause waits for every transmission that has begun.
    if not send.restored and any(
        one.since <= began and (one.until is None or began < one.until) for one in database.pauses
    ):
        yield Violation(
            Invariant.NOTHING_AFTER_A_STOP, "was transmitted while all sending was paused", send.key
        )
    if send.suppressed_at is not None and began > send.suppressed_at + database.bounds.race:
        yield Violation(
            Invariant.NOTHING_AFTER_A_STOP, "was transmitted after its address was suppressed", send.key
        )
    if send.stopped_at is not None and began > send.stopped_at + database.bounds.race:
        yield Violation(
            Invariant.NOTHING_AFTER_A_STOP, "was transmitted after its contact was stopped", send.key
        )
    if send.held_at is not None and began > send.held_at + database.bounds.race:
        yield Violation(
            Invariant.NOTHING_AFTER_A_STOP, "was transmitted while its contact was held", send.key
        )


def _check_end(send: Send, database: Snapshot) -> Iterator[Violation]:
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
        state = "has not advanced its enrolment" if status in SPENT else f"has been {status}"
        yield Violation(kind, f"{state} since {began:%Y-%m-%d %H:%M:%S}", send.key)


def _check_advancement(send: Send, _: Snapshot) -> Iterator[Violation]:
    if (  # a step that was renumbered later cannot be checked
        send.advanced_at is None
        or send.status not in {SendStatus.SENT, SendStatus.UNKNOWN}
        or send.enrolment_round != send.round
        or send.step_number is None
        or send.current_step is None
        or (send.step_updated is not None and send.step_updated > send.advanced_at)
    ):
        return
    if send.current_step <= send.step_number or send.last_send is None or send.last_send < send.plan_day:
        yield Violation(
            Invariant.STEPS_GO_FORWARD_ONCE,
            "is marked as advanced, but its enrolment did not advance",
            send.key,
        )


def _check_archive(send: Send, _: Snapshot) -> Iterator[Violation]:
    if send.archived_status in SPENT and send.status in SPENT:
        yield Violation(
            Invariant.ONE_ROW,
            f"is {send.status} in the ledger and {send.archived_status} in the archive",
            send.key,
        )


def _check_resolutions(send: Send, _: Snapshot) -> Iterator[Violation]:
    kind = Invariant.UNKNOWN_IS_COUNTED_STATES_AND_SETTLED_ONCE
    if send.settled_sent > 1:
        yield Violation(kind, f"was resolved as sent {send.settled_sent} times", send.key)
    if send.settled_retry >= send.attempt:
        yield Violation(
            kind, f"was resolved as retry {send.settled_retry} times in {send.attempt} attempts", send.key
        )


def _check_addresses(send: Send, _: Snapshot) -> Iterator[Violation]:
    for name in ("reason", "smtp_reply"):
        if _ADDRESS.search(getattr(send, name) or ""):
            yield Violation(Invariant.NO_ADDRESS_LEAKS, f"has an address in the column {name}", send.key)


_ROW_RULES: tuple[Callable[[Send, Snapshot], Iterator[Violation]], ...] = (
    _check_columns,
    _check_time,
    _check_end,
    _check_advancement,
    _check_archive,
    _check_resolutions,
    _check_addresses,
)


def _compare(send: Send, accepted: int) -> Iterator[Violation]:
    """Compare the accepted mails with the row; each retry that an operator requested allows one more mail."""
    if accepted > 1 + send.settled_retry:
        yield Violation(Invariant.AT_MOST_ONCE, f"was accepted by a mail server {accepted} times", send.key)
    may_be_out = {SendStatus.SENT, SendStatus.TRANSMITTING, SendStatus.UNKNOWN}
    if accepted and send.status not in may_be_out and not send.settled_retry:
        yield Violation(
            Invariant.SENT_IS_ACCEPTED,
            f"was accepted by a mail server, but has the status {send.status}",
            send.key,
        )
    if not accepted and send.status == SendStatus.SENT and not send.settled_sent:
        yield Violation(
            Invariant.SENT_IS_ACCEPTED, "has the status sent, but no mail server accepted it", send.key
        )


# --- rules of a day -----------------------------------------------------------------------------------------

_COUNTED_STATES = frozenset({SendStatus.TRANSMITTING, SendStatus.SENT, SendStatus.UNKNOWN})
_REMEMBERED = timedelta(days=3)


class _Days:
    """Checks the rows of a day against each other.

    Rows come by send_at, so days older than three can be dropped.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._counted: Counter[tuple[int, date]] = Counter()
        self._contacts: defaultdict[date, set[int]] = defaultdict(set)
        self._keys: defaultdict[date, set[int]] = defaultdict(set)
        self._times: defaultdict[int, list[datetime]] = defaultdict(list)

    def add(self, send: Send) -> Iterator[Violation]:
        self._forget(send.plan_day - _REMEMBERED)
        name = hash(send.key)
        if any(name in keys for keys in self._keys.values()):
            yield Violation(Invariant.ONE_ROW, "has two rows", send.key)
        self._keys[send.plan_day].add(name)
        if (send.status in LIVE or send.status in SPENT) and not send.restored:
            if send.contact_id in self._contacts[send.plan_day]:
                yield Violation(
                    Invariant.LIMITS_AND_GAPS,
                    f"is the second mail to its contact on {send.plan_day}",
                    send.key,
                )
            self._contacts[send.plan_day].add(send.contact_id)
        if send.status in _COUNTED_STATES:
            self._counted[send.mailbox_id, send.send_day] += 1
        if send.gap_seconds and send.transmitting_at is not None:
            yield from self._add_time(send, send.transmitting_at)

    def _add_time(self, send: Send, at: datetime) -> Iterator[Violation]:
        """Find mails that are too close, unless the gap was raised after them."""
        times = self._times[send.mailbox_id]
        position = bisect(times, at)
        times.insert(position, at)
        neighbours = [*times[max(0, position - 1) : position], *times[position + 1 : position + 2]]
        since = send.mailbox_updated
        if any(
            abs(at - other).total_seconds() < send.gap_seconds and (since is None or min(at, other) > since)
            for other in neighbours
        ):
            yield Violation(
                Invariant.LIMITS_AND_GAPS,
                "is closer to another mail of its mailbox than the minimum gap",
                send.key,
            )
        if len(times) > 2 and at - times[0] > _REMEMBERED:  # noqa: PLR2004
            del times[: bisect(times, at - _REMEMBERED)]

    def _forget(self, before: date) -> None:
        for days in (self._contacts, self._keys):
            for day in [day for day in days if day < before]:
                del days[day]

    def compare(self, mailbox_days: Iterable[MailboxDay]) -> Iterator[Violation]:
        """Compare with the counted mails; a limit lowered after the day's last mail cannot be checked."""
        counted = self._counted.copy()
        for day in mailbox_days:
            sent = counted.pop((day.mailbox_id, day.send_day), 0)
            where = f"mailbox {day.mailbox_id} on {day.send_day}"
            if sent > day.used:
                yield Violation(
                    Invariant.LIMITS_AND_GAPS, f"{where}: {sent} mails were sent, but {day.used} were counted"
                )
            lowered = day.mailbox_updated is not None and (
                day.last_at is None or day.mailbox_updated >= day.last_at
            )
            if day.used > min(day.allowed, day.send_limit) and not lowered:
                yield Violation(
                    Invariant.LIMITS_AND_GAPS,
                    f"{where}: {day.used} mails were counted, above the limit of "
                    f"{min(day.allowed, day.send_limit)}",
                )
        for (mailbox, send_day), sent in counted.items():
            yield Violation(
                Invariant.LIMITS_AND_GAPS,
                f"mailbox {mailbox} on {send_day}: {sent} mails were sent, but none was counted",
            )


# --- rules of queues and history ----------------------------------------------------------------------------


def _check_queues(queues: Sequence[QueueState]) -> Iterator[Violation]:
    for queue in queues:
        if queue.messages:
            yield Violation(
                Invariant.QUEUES_DRAIN, f"the queue {queue.name} still has {queue.messages} messages"
            )
        if queue.dead_letters != queue.poison:
            yield Violation(
                Invariant.QUEUES_DRAIN,
                f"the queue {queue.name} has {queue.dead_letters} dead letters instead of {queue.poison}",
            )


def _check_history(history: list[Event], database: Snapshot) -> Iterator[Violation]:
    transitions = [event for event in history if isinstance(event, Transition)]
    gates = _Gates([event for event in history if isinstance(event, Gate)], database.bounds.race)
    for event in history:
        match event:
            case Transition():
                yield from _check_transition(event)
                yield from gates.check(event)
            case Moved():
                yield from _check_move(event)
            case Text():
                if any(word in event.content for word in database.private):
                    yield Violation(
                        Invariant.NO_ADDRESS_LEAKS, f"the text in {event.where} contains private data"
                    )
            case PlanComparison():
                yield from _check_comparison(event)
            case Gate():
                pass
    yield from _check_counts(transitions)


def _check_transition(event: Transition) -> Iterator[Violation]:
    if event.restored:
        return
    known = event.before is None or event.before == event.after or (event.before, event.after) in TRANSITIONS
    if not known or (event.before is None and event.after is not SendStatus.PLANNED):
        yield Violation(
            Invariant.ONLY_KNOWN_TRANSITIONS, f"changed from {event.before} to {event.after}", event.key
        )
    returned = event.before not in (None, SendStatus.PLANNED) and event.after is SendStatus.PLANNED
    if event.attempt < event.attempt_before + returned:
        yield Violation(
            Invariant.ONLY_KNOWN_TRANSITIONS,
            f"changed to {event.after} with attempt {event.attempt} after attempt {event.attempt_before}",
            event.key,
        )


def _check_move(event: Moved) -> Iterator[Violation]:
    if event.round < event.round_before or (
        event.round == event.round_before and event.step < event.step_before
    ):
        yield Violation(
            Invariant.STEPS_GO_FORWARD_ONCE,
            f"the enrolment of contact {event.contact_id} in sequence {event.sequence_id} went back from "
            f"round {event.round_before}, step {event.step_before} to round {event.round}, step {event.step}",
        )


def _check_comparison(event: PlanComparison) -> Iterator[Violation]:
    for key in sorted(event.before.keys() | event.after.keys()):
        if event.before.get(key) != event.after.get(key):
            changed = f"a plan changed {event.before.get(key)} to {event.after.get(key)}"
            yield Violation(event.invariant, changed, key)


def _check_counts(transitions: list[Transition]) -> Iterator[Violation]:
    """Check that each outcome was applied once, and each unknown send resolved once."""
    advanced = Counter(event.key for event in transitions if event.advanced)
    unknown = Counter(event.key for event in transitions if event.after is SendStatus.UNKNOWN != event.before)
    settled = Counter(event.key for event in transitions if event.before is SendStatus.UNKNOWN != event.after)
    for key, times in advanced.items():
        if times > 1:
            yield Violation(Invariant.STEPS_GO_FORWARD_ONCE, f"advanced its enrolment {times} times", key)
    for key, times in settled.items():
        if times > unknown[key]:
            kind = Invariant.UNKNOWN_IS_COUNTED_STATES_AND_SETTLED_ONCE
            yield Violation(kind, f"was resolved {times} times, but unknown {unknown[key]} times", key)


class _Gates:
    """Checks that no transmission began while one of its gates was shut."""

    def __init__(self, gates: list[Gate], race: timedelta) -> None:
        self._race = race
        self._changes: defaultdict[tuple[str, tuple[int, ...]], list[Gate]] = defaultdict(list)
        for gate in gates:
            self._changes[gate.of, gate.ids].append(gate)

    def check(self, event: Transition) -> Iterator[Violation]:
        if event.after is not SendStatus.TRANSMITTING or event.before is SendStatus.TRANSMITTING:
            return
        if not event.send_at <= event.at <= event.not_after:
            yield Violation(
                Invariant.NOTHING_AFTER_A_STOP,
                "began transmission before send_at or after not_after",
                event.key,
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
            earlier = [gate for gate in self._changes.get((of, ids), ()) if gate.at <= event.at]
            if earlier and earlier[-1].shut and event.at > earlier[-1].at + self._race:
                yield Violation(
                    Invariant.NOTHING_AFTER_A_STOP,
                    f"began transmission after its {of} was stopped",
                    event.key,
                )
