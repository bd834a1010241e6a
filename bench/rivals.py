"""Measures the plan against common alternatives on the same data: a row-by-row scheduler and an ORM.

Both alternatives do less than the product: they check no suppressions, have no priorities, move no contact to
another mailbox, and record no reason for a contact that waits.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from functools import partial

import psycopg
from sqlalchemy import ForeignKey, ForeignKeyConstraint, Select, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from bench.cluster import measuring_postgres
from bench.instance import DAY
from bench.plan import forget_plan, in_a_process, seconds_of_limit, team
from local_stack.postgres import SUPERUSER
from sequence_store.postgres.connection import connect

DUE = """
SELECT sequence_id, contact_id, current_step, round, mailbox_id, next_send FROM sequences_contacts
WHERE status = 'active' AND next_send <= %s ORDER BY next_send, sequence_id, contact_id
"""
STEP = "SELECT id FROM steps WHERE sequence_id = %s AND step_number = %s AND deleted_at IS NULL"
MAILBOXES = """
SELECT m.id, m.send_limit, m.send_start_time, m.send_end_time, count(s.mailbox_id)
FROM sequences_mailboxes sm JOIN mailboxes m ON m.id = sm.mailbox_id
LEFT JOIN sends s ON s.mailbox_id = m.id AND s.send_at >= %(day)s AND s.send_day = %(day)s
WHERE sm.sequence_id = %(sequence)s AND (%(pinned)s::bigint IS NULL OR m.id = %(pinned)s)
GROUP BY m.id ORDER BY count(s.mailbox_id)::float / m.send_limit LIMIT 1
"""
INSERT = """
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at,
    not_after)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# Helps the row-by-row scheduler, which counts a mailbox's mails for each contact. Not measured itself.
INDEX = "CREATE INDEX rival ON sends (mailbox_id, send_day)"
GRACE = timedelta(minutes=15)


def row_by_row(url: str) -> int:
    """Plan in one transaction: select step and emptiest mailbox of each due enrolment, insert a row."""
    planned = 0
    with connect(url, name="rival") as connection:
        for sequence, contact, number, round_, pinned, due in connection.execute(DUE, (DAY,)).fetchall():
            step = connection.execute(STEP, (sequence, number)).fetchone()
            parameters = {"day": DAY, "sequence": sequence, "pinned": pinned}
            mailbox = connection.execute(MAILBOXES, parameters).fetchone()
            if step is None or mailbox is None or mailbox[4] >= mailbox[1]:
                continue
            at = _slot(mailbox[4], mailbox[1], mailbox[2], mailbox[3])
            row = (sequence, contact, step[0], round_, mailbox[0], due, DAY, DAY, at, at + GRACE)
            connection.execute(INSERT, row)
            planned += 1
    return planned


class _Base(DeclarativeBase):
    pass


class _Mailbox(_Base):
    __tablename__ = "mailboxes"
    id: Mapped[int] = mapped_column(primary_key=True)
    send_limit: Mapped[int]
    send_start_time: Mapped[clock]
    send_end_time: Mapped[clock]


class _Route(_Base):
    __tablename__ = "sequences_mailboxes"
    sequence_id: Mapped[int] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailboxes.id"), primary_key=True)
    mailbox: Mapped[_Mailbox] = relationship(lazy="joined")


class _Step(_Base):
    __tablename__ = "steps"
    id: Mapped[int] = mapped_column(primary_key=True)
    sequence_id: Mapped[int]
    step_number: Mapped[int]


class _Enrolment(_Base):
    __tablename__ = "sequences_contacts"
    sequence_id: Mapped[int] = mapped_column(primary_key=True)
    contact_id: Mapped[int] = mapped_column(primary_key=True)
    current_step: Mapped[int]
    round: Mapped[int]
    mailbox_id: Mapped[int | None]
    next_send: Mapped[datetime]
    status: Mapped[str]


class _Send(_Base):
    __tablename__ = "sends"
    sequence_id: Mapped[int] = mapped_column(primary_key=True)
    contact_id: Mapped[int] = mapped_column(primary_key=True)
    step_id: Mapped[int] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int]
    due_day: Mapped[datetime]
    plan_day: Mapped[datetime]
    send_day: Mapped[datetime]
    send_at: Mapped[datetime]
    not_after: Mapped[datetime]
    __table_args__ = (
        ForeignKeyConstraint(
            ["sequence_id", "contact_id"], ["sequences_contacts.sequence_id", "sequences_contacts.contact_id"]
        ),
    )


def by_orm_querying(url: str) -> int:
    """Plan with SQLAlchemy's ORM in the obvious way: query what each due enrolment needs, and add a row."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    planned = 0
    with Session(engine) as session:
        for enrolment in session.scalars(_due()).all():
            step = session.scalars(
                select(_Step).where(
                    _Step.sequence_id == enrolment.sequence_id, _Step.step_number == enrolment.current_step
                )
            ).first()
            routes = session.scalars(select(_Route).where(_Route.sequence_id == enrolment.sequence_id))
            theirs = {r.mailbox_id: r.mailbox for r in routes if enrolment.mailbox_id in {None, r.mailbox_id}}
            used: Counter[int] = Counter(
                dict(
                    session.execute(
                        select(_Send.mailbox_id, func.count())
                        .where(_Send.mailbox_id.in_(theirs), _Send.send_day == DAY)
                        .group_by(_Send.mailbox_id)
                    ).all()  # type: ignore[arg-type]
                )
            )
            mailbox = min(theirs.values(), key=lambda m: used[m.id] / m.send_limit)
            if step is None or used[mailbox.id] >= mailbox.send_limit:
                continue
            session.add(_send(enrolment, step.id, mailbox, used[mailbox.id]))
            planned += 1
        session.commit()
    engine.dispose()
    return planned


def _due() -> Select[tuple[_Enrolment]]:
    due = select(_Enrolment).where(_Enrolment.status == "active", _Enrolment.next_send <= DAY)
    return due.order_by(_Enrolment.next_send)


def _send(enrolment: _Enrolment, step_id: int, mailbox: _Mailbox, taken: int) -> _Send:
    at = _slot(taken, mailbox.send_limit, mailbox.send_start_time, mailbox.send_end_time)
    return _Send(
        sequence_id=enrolment.sequence_id,
        contact_id=enrolment.contact_id,
        step_id=step_id,
        round=enrolment.round,
        mailbox_id=mailbox.id,
        due_day=enrolment.next_send,
        plan_day=DAY,
        send_day=DAY,
        send_at=at,
        not_after=at + GRACE,
    )


def by_orm(url: str, *, each: bool) -> int:
    """Plan with the ORM from data in memory; flush after `each` row, or all rows at the end."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        steps = {(s.sequence_id, s.step_number): s.id for s in session.scalars(select(_Step))}
        routes: dict[int, list[_Mailbox]] = {}
        for route in session.scalars(select(_Route)):
            routes.setdefault(route.sequence_id, []).append(route.mailbox)
        used: Counter[int] = Counter()
        for enrolment in session.scalars(_due()):
            theirs = [m for m in routes[enrolment.sequence_id] if enrolment.mailbox_id in {None, m.id}]
            mailbox = min(theirs, key=lambda m: used[m.id] / m.send_limit)
            step = steps.get((enrolment.sequence_id, enrolment.current_step))
            if step is None or used[mailbox.id] >= mailbox.send_limit:
                continue
            session.add(_send(enrolment, step, mailbox, used[mailbox.id]))
            used[mailbox.id] += 1
            if each:
                session.flush()
        session.commit()
    engine.dispose()
    return sum(used.values())


def run(due: int, repeats: int) -> None:
    with measuring_postgres() as postgres:
        url = team(postgres, due)
        with (
            connect(url, name="bench", autocommit=True) as connection,
            psycopg.connect(postgres.url(SUPERUSER), autocommit=True) as superuser,
        ):
            connection.execute("CREATE TABLE before AS SELECT * FROM sends")
            ours, limits, planned = [], [], 0
            for _ in range(repeats):
                once = in_a_process("core", url)
                ours.append(once["seconds"])
                planned = once["planned"]
                limits.append(seconds_of_limit(connection, superuser))
            core = statistics.median(ours)
            print(
                f"{due:,} due, the plan: {planned:,} planned in {core:.3f} s (median of {repeats});"
                f" INSERT … SELECT of its rows alone: {statistics.median(limits):.3f} s"
            )
            querying = {"row by row": row_by_row, "ORM with queries for each contact": by_orm_querying}
            for name, rival in querying.items():
                _against(connection, url, name, rival, core)
            connection.execute(INDEX)
            for name, rival in querying.items():
                _against(connection, url, f"{name}, with an additional index", rival, core)
            _against(connection, url, "ORM in memory, flushed row by row", partial(by_orm, each=True), core)
            _against(connection, url, "ORM in memory, flushed at the end", partial(by_orm, each=False), core)


def _against(
    connection: psycopg.Connection, url: str, name: str, rival: Callable[[str], int], core: float
) -> None:
    began = time.perf_counter()
    planned = rival(url)
    spent = time.perf_counter() - began
    forget_plan(connection)
    print(f"{name}: {planned:,} planned in {spent:.2f} s, {spent / core:.0f} x the plan", flush=True)


def _slot(taken: int, limit: int, opens: clock, closes: clock) -> datetime:
    begins = datetime.combine(DAY, opens, UTC)
    return begins + (datetime.combine(DAY, closes, UTC) - begins) * taken / limit
