"""Generates a team to plan for: N due contacts, and three times as many enrolled.

N / 200 sequences of log-normal size with 3 steps, N / 100 mailboxes with a limit of 150, five random
mailboxes per sequence. One address in a hundred is suppressed. Two thirds of the due mails are follow-ups,
each pinned to one of its sequence's mailboxes. The due days go back up to 20 days. With `sequences_each`, a
due contact is due in up to that many random sequences, and the mailboxes' limit is such that the due
contacts are nine tenths of the capacity.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import psycopg

from sequence_pipelines.planning.binary_columns import write_columns
from sequence_pipelines.planning.engine.windows import epoch_day

DAY = date(2026, 6, 15)
LIMIT = 150
LOAD = 0.9  # of contacts in several sequences
MAILBOXES_A_SEQUENCE = 5
STEPS = 3
CHUNK = 1_000_000

TEAM = """
INSERT INTO sequences (sequence_name) SELECT 'sequence ' || n FROM generate_series(1, {sequences}) n;
INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content, delay_days)
    SELECT s, n, 'Hello', 'Hi {{ contact.name }}', 3
    FROM generate_series(1, {sequences}) s, generate_series(1, 3) n;
INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)
    SELECT 'box' || n || '@sender.example', {limit}, '09:00', '17:00' FROM generate_series(1, {mailboxes}) n
"""
CONTACTS = """
INSERT INTO contacts (name, mail_address, address_hmac)
SELECT 'Contact ' || n, address, address_hmac(address, %(pads)s)
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n,
    LATERAL (SELECT 'contact' || n || '@people.example' AS address) a
"""
ENROL = """
COPY sequences_contacts (sequence_id, contact_id, current_step, next_send, last_send, mailbox_id)
FROM STDIN (FORMAT binary)
"""
ENROL_FIRST = """
COPY sequences_contacts (sequence_id, contact_id, current_step, next_send) FROM STDIN (FORMAT binary)
"""
ROUTE = "COPY sequences_mailboxes FROM STDIN (FORMAT binary)"
SUPPRESS = """
INSERT INTO suppressions (address_hmac, reason)
SELECT address_hmac, 'unsubscribed' FROM contacts WHERE id % 100 = 1
"""
HISTORY = """
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at,
    not_after, status, finished_at, smtp_code, smtp_reply, provider_message_id, advanced_at)
SELECT 1 + n % {sequences}, {contacts} + n / 3, 1 + 3 * (n % {sequences}) + n % 3, 1, 1 + n % {mailboxes},
    d, d, d, at, at + interval '2 hours', 'sent', at, 250, '2.0.0 Ok: queued', 'id' || n, at
FROM (SELECT n, date '{day}' - 365 + (n::bigint * 363 / {rows})::integer AS d
      FROM generate_series(0, {rows} - 1) n) x,
    LATERAL (SELECT d + time '09:00' + make_interval(secs => n % 28800) AS at) y
"""


def fill(
    connection: psycopg.Connection, due: int, pads: bytes, *, seed: int = 1, sequences_each: int = 1
) -> None:
    """Insert a team with `due` due contacts, over a connection in autocommit mode."""
    rng = np.random.default_rng(seed)
    sequences, mailboxes, contacts = max(1, due // 200), max(5, due // 100), 3 * due
    limit = LIMIT if sequences_each == 1 else round(due / LOAD / mailboxes)
    sizes = {"sequences": sequences, "mailboxes": mailboxes, "limit": limit}
    for statement in TEAM.replace("{{", "<<").replace("}}", ">>").format(**sizes).split(";\n"):
        connection.execute(statement.replace("<<", "{{").replace(">>", "}}").encode())
    routes = routes_of(rng, sequences, mailboxes)
    each = np.repeat(np.arange(1, sequences + 1), MAILBOXES_A_SEQUENCE)
    write_columns(connection, ROUTE.encode(), [each, routes.ravel()], ("int8", "int8"))
    weights = rng.lognormal(0, 0.5, sequences)
    for begin in range(0, contacts, CHUNK):
        contact_ids = np.arange(begin, min(begin + CHUNK, contacts)) + 1
        connection.execute(
            CONTACTS.encode(), {"pads": pads, "first": contact_ids[0], "last": contact_ids[-1]}
        )
        _enrol(connection, rng, contact_ids, weights / weights.sum(), routes, sequences_each)
    connection.execute(SUPPRESS.encode())
    connection.execute("VACUUM ANALYZE")


def routes_of(rng: np.random.Generator, sequences: int, mailboxes: int) -> np.ndarray:
    """Return random mailboxes of each sequence, shape (sequences, MAILBOXES_A_SEQUENCE)."""
    routes = np.argsort(rng.random((sequences, min(mailboxes, 400))), axis=1)[:, :MAILBOXES_A_SEQUENCE]
    return (routes + rng.integers(0, mailboxes, (sequences, 1))) % mailboxes + 1


def _enrol(
    connection: psycopg.Connection,
    rng: np.random.Generator,
    contact_ids: np.ndarray,
    weights: np.ndarray,
    routes: np.ndarray,
    sequences_each: int,
) -> None:
    today = epoch_day(DAY)
    more = np.tile(contact_ids[contact_ids % STEPS == 0], sequences_each - 1)
    contact_ids = np.r_[contact_ids, more]
    sequence = rng.choice(len(weights), len(contact_ids), p=weights) + 1
    if len(more):
        _, once = np.unique(sequence * (contact_ids.max() + 1) + contact_ids, return_index=True)
        contact_ids, sequence = contact_ids[once], sequence[once]
    due = contact_ids % STEPS == 0
    next_send = today + np.where(
        due, -np.minimum(rng.geometric(0.4, len(contact_ids)) - 1, 20), rng.integers(1, 30, len(contact_ids))
    )
    follow_up = rng.random(len(contact_ids)) < 2 / 3
    box = routes[sequence - 1, rng.integers(0, MAILBOXES_A_SEQUENCE, len(contact_ids))]
    step = rng.integers(2, STEPS + 1, len(contact_ids))
    columns = [sequence, contact_ids, step, next_send, next_send - 3, box]
    types = ("int8", "int8", "int4", "date", "date", "int8")
    write_columns(connection, ENROL.encode(), [c[follow_up] for c in columns], types)
    first = [sequence, contact_ids, np.ones(len(contact_ids), np.int64), next_send]
    write_columns(connection, ENROL_FIRST.encode(), [c[~follow_up] for c in first], types[:4])


def add_history(connection: psycopg.Connection, due: int, rows: int) -> None:
    """Insert a year of finished sends of ended enrolments; the last one is two days old."""
    sizes = {"sequences": max(1, due // 200), "mailboxes": max(5, due // 100), "contacts": 3 * due}
    connection.execute(HISTORY.format(rows=rows, day=DAY, **sizes).encode())
    connection.execute("VACUUM ANALYZE sends")
