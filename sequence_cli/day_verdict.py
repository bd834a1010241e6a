"""Compares the mails in the mail sink with the planned mails and with the enrolments afterwards."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import median
from typing import Any

from sequence_store.domain.states import EnrolmentStatus, SendStatus

PROMPT_SECONDS = 2.0  # the longest permitted delay of a mail on a machine that is not loaded


@dataclass(frozen=True)
class Mail:
    """A mail that the sink accepted."""

    mail_from: str
    recipient: str
    accepted_at: datetime

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Mail:
        """Convert an entry of the sink's JSON list."""
        return cls(
            entry["mail_from"].lower(),
            ",".join(entry["rcpt_to"]).lower(),
            datetime.fromisoformat(entry["accepted_at"]),
        )


@dataclass(frozen=True)
class PlannedMail:
    """A planned mail whose transmission began, with the current state of its enrolment.

    `next_step` is the live step after this mail (None: the last was mailed), and `next_day` the date that the
    enrolment must have after this mail; its `current_step` is the mailed number + 1.
    """

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
    send_day: date
    step_number: int
    next_step: int | None
    next_day: date | None


@dataclass(frozen=True)
class BrokenPromise:
    """A mail that was planned for a time that has passed, and was not sent."""

    recipient: str
    send_at: datetime
    status: str
    reason: str | None

    @property
    def fault(self) -> str:
        state = self.status + (f" ({self.reason})" if self.reason else "")
        return f"{self.recipient}: planned for {self.send_at:%H:%M:%S}, but it is {state}"


@dataclass
class Verdict:
    """Counts of the comparison, and all faults found."""

    allowed_seconds: float = PROMPT_SECONDS
    mails: int = 0
    advanced: int = 0
    late_from_before: int = 0
    lateness: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def slowest_seconds(self) -> float:
        return max(self.lateness, default=0.0)

    @property
    def median_seconds(self) -> float:
        return median(self.lateness) if self.lateness else 0.0


def judge(
    mails: Iterable[Mail],
    planned: Iterable[PlannedMail],
    *,
    since: datetime,
    until: datetime,
    loaded: bool = False,
) -> Verdict:
    """Compare the mails accepted since `since` with the planned mails; `until` is when the sink was read.

    A mail planned before `since`, while the stack was down, may be late; it is counted in `late_from_before`.
    On a loaded machine any mail may be late.
    """
    verdict = Verdict(allowed_seconds=math.inf if loaded else PROMPT_SECONDS)
    accepted, expected = _accepted_by_recipient(mails, since), _planned_by_recipient(planned)
    for recipient in sorted({*accepted, *expected}):
        _compare(accepted[recipient], expected[recipient], recipient, since, until, verdict)
    for mail in (one for found in expected.values() for one in found if one.advanced):
        verdict.advanced += 1
        verdict.faults += _advance_faults(mail)
    return verdict


def _accepted_by_recipient(mails: Iterable[Mail], since: datetime) -> dict[str, list[Mail]]:
    found: dict[str, list[Mail]] = defaultdict(list)
    for mail in sorted(mails, key=lambda mail: mail.accepted_at):
        if mail.accepted_at >= since:
            found[mail.recipient].append(mail)
    return found


def _planned_by_recipient(planned: Iterable[PlannedMail]) -> dict[str, list[PlannedMail]]:
    found: dict[str, list[PlannedMail]] = defaultdict(list)
    for mail in sorted(planned, key=lambda mail: mail.send_at):
        found[mail.recipient].append(mail)
    return found


def _compare(
    mails: Sequence[Mail],
    planned: Sequence[PlannedMail],
    recipient: str,
    since: datetime,
    until: datetime,
    verdict: Verdict,
) -> None:
    sent = [
        one
        for one in planned
        if one.status == SendStatus.SENT and one.finished_at and one.finished_at < until
    ]
    if len(mails) > len(planned):
        verdict.faults.append(f"{recipient}: {len(mails)} mails arrived, {len(planned)} were planned")
    if len(mails) < len(sent):
        verdict.faults.append(f"{recipient}: {len(sent)} mails are recorded as sent, {len(mails)} arrived")
    for mail, plan in zip(mails, planned, strict=False):
        verdict.mails += 1
        if plan.send_at < since:
            verdict.late_from_before += 1
            continue
        seconds = (mail.accepted_at - plan.send_at).total_seconds()
        verdict.lateness.append(seconds)
        verdict.faults += _mail_faults(mail, plan, seconds, verdict.allowed_seconds)


def _mail_faults(mail: Mail, planned: PlannedMail, seconds: float, allowed: float) -> Iterator[str]:
    if mail.mail_from != planned.mailbox.lower():
        yield f"{mail.recipient}: came from {mail.mail_from}, but {planned.mailbox} was planned"
    if not 0 <= seconds <= allowed:
        yield f"{mail.recipient}: accepted {seconds:+.1f} s from its planned time {planned.send_at:%H:%M:%S}"


def _advance_faults(mail: PlannedMail) -> Iterator[str]:
    context = f"{mail.recipient}: after step {mail.step_number}"
    if mail.last_send != mail.send_day:
        yield f"{context} the last send is {mail.last_send}, not {mail.send_day}"
    if mail.next_step is None:
        if mail.next_send is not None or mail.enrolment_status == EnrolmentStatus.ACTIVE:
            yield f"{context}, the last, the enrolment is still {mail.enrolment_status}"
    elif (mail.current_step, mail.next_send) != (mail.step_number + 1, mail.next_day):
        yield (
            f"{context} the next step is {mail.current_step} on {mail.next_send}, "
            f"not {mail.step_number + 1} on {mail.next_day}"
        )
