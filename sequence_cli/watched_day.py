"""Starts everything, plans today through Dagster, and watches it being mailed."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
from psycopg.rows import class_row
from rich.console import Console

from local_stack import stack
from local_stack.folder import StackFolder
from sequence_cli.dagster_runs import DagsterRuns
from sequence_cli.day_verdict import PROMPT_SECONDS, Mail, Promise, Verdict, judge
from sequence_cli.day_view import Progress, Ticker, show_addresses, show_plan
from sequence_cli.errors import DayError
from sequence_cli.sample_data import load_and_show
from sequence_store.postgres.connection import connect
from sequence_store.postgres.queries import query
from sequence_store.settings import OwnerSettings, read_settings

LEAST_REST = timedelta(minutes=3)  # a plan made nearer to the next planning day finds no time to use
GIVE_UP_SECONDS = 720
PLAN_SECONDS = 300
FIRST_MAILS = 3
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Surroundings:
    """The stack that the day runs on."""

    root: Path
    settings: OwnerSettings
    variables: dict[str, str]
    console: Console

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """Open a connection for one look: Postgres may be started again while the day goes on."""
        with connect(self.settings.database_url, name="sequences_day", autocommit=True) as connection:
            yield connection


def run(*, once: bool) -> bool:
    """Go through the day until Ctrl-C; with `once` until the first mails have advanced. Return whether all held."""
    root, console = Path.cwd(), Console(highlight=False)
    _interrupt_at(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ours = False
    try:
        ours = _start(root)
        return _go(_surroundings(root, console), once=once)
    except KeyboardInterrupt:
        return not once
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # stopping has a bound of its own
            stack.down(root)


def _interrupt_at(*signals: signal.Signals) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)


def _start(root: Path) -> bool:
    """Start the stack, or attach to the one that is up; return whether it is ours to stop."""
    lock = StackFolder(root).lock()
    if lock is None:
        stack.up(root)
        return False
    lock.close()
    stack.up_detached(root)
    return True


def _surroundings(root: Path, console: Console) -> Surroundings:
    variables = stack.environment(root)
    os.environ.update(variables)  # what an earlier start left may name other ports
    return Surroundings(root, read_settings(OwnerSettings), variables, console)


def _go(at: Surroundings, *, once: bool) -> bool:
    _await_time_to_plan(at)
    load_and_show(at.settings, at.root / "examples", at.console)
    since = datetime.now(UTC)
    deadline = time.monotonic() + GIVE_UP_SECONDS
    _plan_today(at)
    _show_plan(at)
    show_addresses(at.console, at.variables)
    if not once:
        at.console.print("Serving until Ctrl-C.")
        return _watch_for_ever(at)
    _watch_first_mails(at, since, deadline)
    return _tell(at.console, _verdict(at, since))


def _await_time_to_plan(at: Surroundings) -> None:
    now = datetime.now(UTC)
    ends = at.settings.calendar.end_of(at.settings.calendar.day_of(now))
    if ends - now >= LEAST_REST:
        return
    at.console.print(
        f"This planning day ends at {ends:%H:%M} UTC: too soon to mail. Waiting for the next one."
    )
    while (rest := (ends - datetime.now(UTC)).total_seconds()) > -1:
        time.sleep(min(POLL_SECONDS, max(rest + 1, 0.1)))


def _plan_today(at: Surroundings) -> None:
    runs = DagsterRuns(at.variables["DAGSTER_URL"])
    day = at.settings.calendar.day_of(datetime.now(UTC)).isoformat()
    try:
        run = runs.launch("daily_plan", day)
        at.console.print(f"Planning {day} in Dagster: {runs.page(run)}", soft_wrap=True)
        for news in runs.follow(run, seconds=PLAN_SECONDS):
            at.console.print(f"  {news}")
    except OSError as error:
        raise DayError(f"Dagster does not answer: {error}. Look into .local/logs/dagster-web.log.") from error


def _progress(at: Surroundings, connection: psycopg.Connection[Any]) -> Progress:
    row = connection.execute(query("day", "read_progress"), _today(at)).fetchone()
    return Progress(*row) if row else Progress(0, 0, 0, 0, 0, 0, 0, None)


def _today(at: Surroundings) -> dict[str, Any]:
    calendar = at.settings.calendar
    day = calendar.day_of(datetime.now(UTC))
    return {"day": day, "begins": calendar.start_of(day)}


def _show_plan(at: Surroundings) -> None:
    with at.database() as connection:
        waiting, mailboxes, sends = (
            connection.execute(query("day", name), _today(at)).fetchall()
            for name in ("read_waiting", "read_mailboxes", "read_next_sends")
        )
        show_plan(at.console, _progress(at, connection), waiting, mailboxes, sends)


def _watch_for_ever(at: Surroundings) -> bool:
    with Ticker(at.console) as ticker:
        while True:
            with _passing_trouble(at), at.database() as connection:
                ticker.show(_progress(at, connection))
            time.sleep(POLL_SECONDS)


def _watch_first_mails(at: Surroundings, since: datetime, deadline: float) -> None:
    """Wait until the first mails are out, and whatever was out by then has advanced; raise DayError at the deadline."""
    until: datetime | None = None
    sent = waiting = 0
    with Ticker(at.console) as ticker:
        while time.monotonic() < deadline:
            with _passing_trouble(at), at.database() as connection:
                ticker.show(_progress(at, connection))
                sent, waiting = _count_sent(connection, since, until or datetime.now(UTC))
                if sent >= FIRST_MAILS and not waiting:
                    return
                if sent >= FIRST_MAILS and until is None:
                    until = datetime.now(UTC)
            time.sleep(POLL_SECONDS)
    what = f"{sent} mails went out, {waiting} of them have not advanced" if sent else "no mail went out"
    raise DayError(
        f"After {GIVE_UP_SECONDS // 60} minutes {what} ({FIRST_MAILS} were awaited). "
        f"Look at {at.variables['DAGSTER_URL']}/runs and into {StackFolder(at.root).path / 'logs'}."
    )


def _count_sent(connection: psycopg.Connection[Any], since: datetime, until: datetime) -> tuple[int, int]:
    row = connection.execute(query("day", "count_sent"), {"since": since, "until": until}).fetchone()
    return (row[0], row[1]) if row else (0, 0)


@contextmanager
def _passing_trouble(at: Surroundings) -> Iterator[None]:
    """Let a look fail while Postgres is being started again, but not once the stack was stopped."""
    try:
        yield
    except psycopg.OperationalError as error:
        if not StackFolder(at.root).is_ready():
            raise DayError("The stack was stopped.") from error


def _verdict(at: Surroundings, since: datetime) -> Verdict:
    until = datetime.now(UTC)
    mails = _read_sink(at.variables["MAIL_SINK_URL"])
    with at.database() as connection, connection.cursor(row_factory=class_row(Promise)) as cursor:
        promises = cursor.execute(query("day", "read_promises"), {"since": since}).fetchall()
    return judge(mails, promises, since=since, until=until)


def _read_sink(url: str) -> list[Mail]:
    try:
        with urllib.request.urlopen(f"{url}/api/messages", timeout=30) as answer:  # noqa: S310  (the stack's own)
            return [Mail.of(entry) for entry in json.load(answer)]
    except OSError as error:
        raise DayError(
            f"The mail sink does not answer: {error}. Look into .local/logs/mail-sink.log."
        ) from error


def _tell(console: Console, verdict: Verdict) -> bool:
    for fault in verdict.faults:
        console.print(f"  [red]wrong[/] {fault}", soft_wrap=True)
    if verdict.late_from_before:
        console.print(f"  {verdict.late_from_before} mails were due while the stack was down.")
    if not verdict.faults and verdict.mails >= FIRST_MAILS <= verdict.advanced:
        console.print(
            f"[green]All holds:[/] {verdict.mails} mails, each planned, there once and from its mailbox, at most "
            f"{verdict.slowest_seconds:.1f} s after its second (allowed: {PROMPT_SECONDS:.0f} s); "
            f"{verdict.advanced} contacts have their next step and date."
        )
        return True
    console.print(f"[red]Not all holds:[/] {verdict.mails} mails, {len(verdict.faults)} faults.")
    return False
