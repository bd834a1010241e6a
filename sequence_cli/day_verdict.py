"""Compares what the mail sink holds with what the plan promised and what the contacts became."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

PROMPT_SECONDS = 2.0


@dataclass(frozen=True)
class Mail:
    """A mail in the sink."""

    mail_from: str
    recipient: str
    accepted_at: datetime

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Mail:
        return cls(
            entry["mail_from"].lower(),
            ",".join(entry["rcpt_to"]).lower(),
            datetime.fromisoformat(entry["accepted_at"]),
        )


@dataclass(frozen=True)
class Promise:
    """A send that went to the server, and its enrolment as it is now."""

    recipient: str
    mailbox: str
    send_at: datetime
    status: str
    finished_at: datetime | None
    advanced: bool
    enrolment_status: str
    current_step: int
    next_send: date | None
    last_send: date | None
    plan_day: date
    step_number: int
    next_step: int | None
    next_day: date | None


@dataclass
class Verdict:
    """What was compared, and every fault that was found."""

    mails: int = 0
    advanced: int = 0
    late_from_before: int = 0
    slowest_seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def judge(mails: Iterable[Mail], promises: Iterable[Promise], *, since: datetime, until: datetime) -> Verdict:
    """Judge what the sink accepted in [since, until), the moment at which it was read.

    A send due before `since` (the stack was down at its minute) is late by right; its count is told.
    """
    verdict = Verdict()
    accepted, promised = _by_recipient(mails, since), _by_promise(promises)
    for recipient in sorted({*accepted, *promised}):
        _compare(accepted[recipient], promised[recipient], recipient, since, until, verdict)
    for promise in (p for found in promised.values() for p in found if p.advanced):
        verdict.advanced += 1
        verdict.faults += _advance_faults(promise)
    return verdict


def _by_recipient(mails: Iterable[Mail], since: datetime) -> dict[str, list[Mail]]:
    found: dict[str, list[Mail]] = defaultdict(list)
    for mail in sorted(mails, key=lambda mail: mail.accepted_at):
        if mail.accepted_at >= since:
            found[mail.recipient].append(mail)
    return found


def _by_promise(promises: Iterable[Promise]) -> dict[str, list[Promise]]:
    found: dict[str, list[Promise]] = defaultdict(list)
    for promise in sorted(promises, key=lambda promise: promise.send_at):
        found[promise.recipient].append(promise)
    return found


def _compare(
    mails: Sequence[Mail],
    promises: Sequence[Promise],
    recipient: str,
    since: datetime,
    until: datetime,
    verdict: Verdict,
) -> None:
    certain = [p for p in promises if p.status == "sent" and p.finished_at and p.finished_at < until]
    if len(mails) > len(promises):
        verdict.faults.append(f"{recipient}: {len(mails)} mails arrived, {len(promises)} were planned")
    if len(mails) < len(certain):
        verdict.faults.append(f"{recipient}: {len(certain)} are said to be sent, {len(mails)} arrived")
    for mail, promise in zip(mails, promises, strict=False):
        verdict.mails += 1
        if promise.send_at < since:
            verdict.late_from_before += 1
            continue
        seconds = (mail.accepted_at - promise.send_at).total_seconds()
        verdict.slowest_seconds = max(verdict.slowest_seconds, seconds)
        verdict.faults += _mail_faults(mail, promise, seconds)


def _mail_faults(mail: Mail, promise: Promise, seconds: float) -> Iterator[str]:
    if mail.mail_from != promise.mailbox.lower():
        yield f"{mail.recipient}: came from {mail.mail_from}, planned was {promise.mailbox}"
    if not 0 <= seconds <= PROMPT_SECONDS:
        yield f"{mail.recipient}: accepted {seconds:+.1f} s from its minute {promise.send_at:%H:%M:%S}"


def _advance_faults(promise: Promise) -> Iterator[str]:
    where = f"{promise.recipient}: after step {promise.step_number}"
    if promise.last_send != promise.plan_day:
        yield f"{where} the last send is {promise.last_send}, not {promise.plan_day}"
    if promise.next_step is None:
        if promise.next_send is not None or promise.enrolment_status == "active":
            yield f"{where}, the last, the enrolment is still {promise.enrolment_status}"
    elif (promise.current_step, promise.next_send) != (promise.next_step, promise.next_day):
        yield (
            f"{where} comes step {promise.current_step} on {promise.next_send}, "
            f"not {promise.next_step} on {promise.next_day}"
        )
