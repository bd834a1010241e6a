"""Accounts for every mail and contact: compares the SMTP server's mails with the database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from sequence_pipelines.maintenance.invariants import Bounds, Invariant, QueueState, Violation
from sequence_store.domain.messages import DeliveryResult, SendKey, SendMessage, parse_message
from sequence_store.domain.states import LIVE, SPENT
from sequence_store.sqs import Queue
from tests.history import accepted_by, find_violations
from tests.soak.resources import Resources
from tests.soak.servers import Servers
from tests.soak.work import Work

AT_REST = Bounds(vanished=timedelta(0), transmitting=timedelta(0), margin=timedelta(0))


@dataclass
class Account:
    """Result of a soak; it passes if `violations`, `wrong` and `lost` are empty."""

    quiet: bool
    sends: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    lost: int = 0
    spent: int = 0  # dead letters whose send has ended
    violations: list[Violation] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # disagreements that are checked only at rest

    @property
    def duplicates(self) -> int:
        return sum(one.invariant is Invariant.AT_MOST_ONCE for one in self.violations)

    def queue(
        self, servers: Servers, queue: Queue, kind: type[SendMessage | DeliveryResult], ended: set[SendKey]
    ) -> QueueState:
        """Return the state of a queue at rest; a dead letter whose send has ended is not counted as lost."""
        dead = servers.dead_letters(queue)
        spent = sum(parse_message(kind, body).key in ended for body in dead)
        self.spent += spent
        return QueueState(queue.url.rpartition("/")[2], servers.waiting(), len(dead), spent)

    @property
    def in_order(self) -> bool:
        return self.quiet and not (self.lost or self.violations or self.wrong)


def account(servers: Servers, *, quiet: bool) -> Account:
    """Check history, database, queues and the server's mails against the invariants, and count everything."""
    found = Account(quiet)
    accepted = accepted_by(servers.smtp.taken, servers.pipeline)
    taken = Counter(mail.key for mail in accepted)
    found.taken = taken.total()
    with servers.connect() as connection:
        rows = connection.execute(
            "SELECT sequence_id, contact_id, step_id, round, status, coalesce(reason, '') FROM sends"
        ).fetchall()
        found.lost = int(str((connection.execute(_LOST).fetchone() or (0,))[0]))
        found.waiting.update(dict(connection.execute(_WAITING).fetchall()))  # type: ignore[arg-type]
        ended = {SendKey(*row[:4]) for row in rows if row[4] not in LIVE}  # type: ignore[arg-type]
        queues = [
            found.queue(servers, servers.queues().sends(), SendMessage, ended),
            found.queue(servers, servers.queues().delivery_results(), DeliveryResult, ended),
        ]
        found.violations = find_violations(
            connection, servers.pipeline, accepted, bounds=AT_REST, queues=queues
        )
        found.wrong += [str(row[0]) for row in connection.execute(_WRONG).fetchall()]
    for *key, status, reason in rows:
        mails = taken.pop(SendKey(*key), 0)  # type: ignore[arg-type]
        found.sends[str(status)] += 1
        if status == "unknown":
            knows = "has" if mails else "has not"
            found.unknown[f"{reason}; the server {knows} accepted the mail"] += 1
        elif status not in SPENT:
            found.open[f"{status}: {reason}"] += 1
        if (status == "sent") != bool(mails) and status != "unknown":
            found.wrong.append(f"{status} ({reason}) with {mails} mails")
    found.wrong += [f"a mail without a row: {key}" for key in taken]
    return found


# Active contacts that are due but have neither a row nor a deferral: no plan would ever mail them.
_LOST = """
SELECT count(*) FROM sequences_contacts e
WHERE e.status = 'active' AND e.next_send <= current_date
    AND NOT EXISTS (SELECT FROM plan_deferrals d
        WHERE d.sequence_id = e.sequence_id AND d.contact_id = e.contact_id)
    AND NOT EXISTS (SELECT FROM sends s WHERE s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id
        AND s.round = e.round AND s.advanced_at IS NULL)"""
_WAITING = """
SELECT coalesce(d.reason, 'no reason'), count(*) FROM sequences_contacts e
LEFT JOIN plan_deferrals d ON d.sequence_id = e.sequence_id AND d.contact_id = e.contact_id
WHERE e.status = 'active' AND e.next_send <= current_date
    AND NOT EXISTS (SELECT FROM sends s WHERE s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id
        AND s.round = e.round AND s.status = 'unknown')
GROUP BY 1"""
_WRONG = """
SELECT 'a sent mail has not advanced its contact' FROM sends WHERE status = 'sent' AND advanced_at IS NULL
UNION ALL
SELECT 'the step of an enrolment differs from the number of its sent mails' FROM sequences_contacts e
JOIN (SELECT sequence_id, contact_id, round, count(*) AS mails
    FROM sends WHERE status = 'sent' GROUP BY 1, 2, 3) s USING (sequence_id, contact_id, round)
WHERE e.current_step <> 1 + s.mails
UNION ALL
SELECT 'the count of a mailbox differs from its mails' FROM mailbox_days d
JOIN (SELECT mailbox_id, send_day, count(*) FILTER (WHERE status IN ('sent', 'unknown')) AS mails
    FROM sends GROUP BY 1, 2) s USING (mailbox_id, send_day)
WHERE d.used <> s.mails"""


def print_account(
    found: Account, faults: Counter[str], traffic: Counter[str], resources: Resources, work: Work
) -> None:
    rows: list[tuple[str, object]] = [
        ("**mails** accepted by the server", found.taken),
        *((f"sends that ended `{status}`", count) for status, count in sorted(found.sends.items())),
        ("**duplicates**", found.duplicates),
        ("**lost**", found.lost),
        ("**violations** of the invariants", len(found.violations)),
        ("**disagreements** between ledger, server and counts at rest", len(found.wrong)),
        ("dead letters of sends that have ended (received five times)", found.spent),
        ("**unknown**", found.unknown.total()),
        *((f"… {reason}", count) for reason, count in sorted(found.unknown.items())),
        *((f"not mailed, {reason}", count) for reason, count in sorted(found.open.items())),
        *((f"due again at the end, {reason}", count) for reason, count in sorted(found.waiting.items())),
        ("**faults**", faults.total()),
        *((f"… {kind}", count) for kind, count in sorted(faults.items())),
        ("**requests** to the API", traffic.total()),
        *((f"… {kind}", count) for kind, count in sorted(traffic.items())),
        ("**runs**", f"{work.runs.total()}, {work.interrupted.total()} interrupted by a fault"),
        *((f"… {kind}", f"{count}, {work.interrupted[kind]}") for kind, count in sorted(work.runs.items())),
    ]
    print("\n| | |\n|---|---|", *(f"| {what} | {count} |" for what, count in rows), sep="\n")
    print("\n| resources | first third | last third | maximum |\n|---|---|---|---|")
    for name, what, first, last, most in resources.summary():
        print(f"| {name}, {what} | {first:.0f} | {last:.0f} | {most:.0f} |")
    for violation in found.violations:
        print(f"{violation.invariant}: {violation.message} {violation.key or ''}")
    for line, count in Counter(found.wrong).items():
        print(f"DISAGREEMENT: {line} ({count})")
    print(f"\nin order: {found.in_order}, quiet: {found.quiet}, flat: {resources.flat()}", flush=True)
