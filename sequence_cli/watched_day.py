"""Runs `sequences day`: starts the stack, plans today through Dagster, and shows the progress."""

from __future__ import annotations

import os
import signal
import time
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
from sequence_cli.day_verdict import PROMPT_SECONDS, BrokenPromise, Mail, PlannedMail, Verdict, judge
from sequence_cli.day_view import Progress, Ticker, show_addresses, show_plan
from sequence_cli.errors import DayError, RemoteError
from sequence_cli.http_client import request_json
from sequence_cli.machine_load import LoadMeter
from sequence_cli.sample_data import load_and_show
from sequence_store.postgres.connection import connect
from sequence_store.postgres.queries import query
from sequence_store.settings import OwnerSettings, read_settings

HOURLY_JOBS = ("health_checks", "report_outcomes")

# A plan that is made later in the planning day finds too little time to use.
MIN_TIME_LEFT = timedelta(minutes=3)
GIVE_UP_SECONDS = 720
PLAN_SECONDS = 300
FIRST_MAILS = 3
POLL_SECONDS = 1.0
PLAN_LEAD_SECONDS = "20"  # of a stack that this command starts, unless the user set it: mails leave sooner


@dataclass(frozen=True)
class DayContext:
    """The stack, settings and console of one run of `sequences day`."""

    root: Path
    settings: OwnerSettings
    variables: dict[str, str]
    console: Console

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """Open a connection for one read; Postgres may restart between two reads."""
        with connect(self.settings.database_url, name="sequences_day", autocommit=True) as connection:
            yield connection


def run(*, once: bool) -> bool:
    """Run until Ctrl-C; with `once`, until the first contacts advanced. Return whether all checks passed."""
    root, console = Path.cwd(), Console(highlight=False)
    _interrupt_at(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    started = False
    try:
        started = _start(root)
        with LoadMeter(StackFolder(root).mark) as meter:
            return _run_day(_make_context(root, console), meter, once=once)
    except KeyboardInterrupt:
        return not once
    finally:
        if started:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # stopping has its own timeout
            stack.down(root)


def _interrupt_at(*signals: signal.Signals) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)


def _start(root: Path) -> bool:
    """Start the stack or use the one that runs; return whether this process started it."""
    lock = StackFolder(root).lock()
    if lock is None:
        stack.up(root)
        return False
    lock.close()
    os.environ.setdefault("PLAN_LEAD_SECONDS", PLAN_LEAD_SECONDS)
    stack.up_detached(root)
    return True


def _make_context(root: Path, console: Console) -> DayContext:
    variables = stack.environment(root)
    os.environ.update(variables)  # variables of an earlier start may name other ports
    return DayContext(root, read_settings(OwnerSettings), variables, console)


def _run_day(at: DayContext, meter: LoadMeter, *, once: bool) -> bool:
    _await_time_to_plan(at)
    load_and_show(at.settings, at.root / "examples", at.console)
    since = datetime.now(UTC)
    deadline = time.monotonic() + GIVE_UP_SECONDS
    _plan_today(at)
    _show_plan(at)
    show_addresses(at.console, at.variables)
    if not once:
        _launch_hourly_jobs(at)
        at.console.print("Running. Press Ctrl-C to stop.")
        return _watch_until_interrupted(at)
    until = _watch_first_mails(at, since, deadline)
    verdict = _verdict(at, since, until, loaded=meter.is_loaded)
    return _report(at.console, verdict, meter)


def _await_time_to_plan(at: DayContext) -> None:
    now = datetime.now(UTC)
    ends = at.settings.calendar.end_of(at.settings.calendar.day_of(now))
    if ends - now >= MIN_TIME_LEFT:
        return
    at.console.print(
        f"This planning day ends at {ends:%H:%M} UTC, too soon to send mail. Waiting for the next one."
    )
    while (rest := (ends - datetime.now(UTC)).total_seconds()) > -1:
        time.sleep(min(POLL_SECONDS, max(rest + 1, 0.1)))


def _plan_today(at: DayContext) -> None:
    runs = DagsterRuns(at.variables["DAGSTER_URL"])
    day = at.settings.calendar.day_of(datetime.now(UTC)).isoformat()
    try:
        run = runs.launch("daily_plan", day)
        at.console.print(f"Planning {day} in Dagster: {runs.page(run)}", soft_wrap=True)
        for event in runs.follow(run, seconds=PLAN_SECONDS):
            at.console.print(f"  {event}")
    except RemoteError as error:
        raise DayError(f"{error}. See .local/logs/dagster-web.log.") from error


def _launch_hourly_jobs(at: DayContext) -> None:
    """Fill the pages of the assets that the schedules would fill within the hour."""
    runs = DagsterRuns(at.variables["DAGSTER_URL"])
    try:
        for job in HOURLY_JOBS:
            runs.launch(job)
    except (DayError, RemoteError) as error:
        at.console.print(f"The hourly jobs run with their schedules only: {error}")


def _progress(at: DayContext, connection: psycopg.Connection[Any]) -> Progress:
    row = connection.execute(query("day", "read_progress"), _today(at)).fetchone()
    return Progress(*row) if row else Progress(0, 0, 0, 0, 0, 0, 0, None)


def _today(at: DayContext) -> dict[str, Any]:
    calendar = at.settings.calendar
    day = calendar.day_of(datetime.now(UTC))
    return {"day": day, "begins": calendar.start_of(day)}


def _show_plan(at: DayContext) -> None:
    with at.database() as connection:
        waiting, mailboxes, sends = (
            connection.execute(query("day", name), _today(at)).fetchall()
            for name in ("read_waiting", "read_mailboxes", "read_next_sends")
        )
        show_plan(at.console, _progress(at, connection), waiting, mailboxes, sends)


def _watch_until_interrupted(at: DayContext) -> bool:
    with Ticker(at.console) as ticker:
        while True:
            with _tolerate_restart(at), at.database() as connection:
                ticker.show(_progress(at, connection))
            time.sleep(POLL_SECONDS)


def _watch_first_mails(at: DayContext, since: datetime, deadline: float) -> datetime:
    """Wait for FIRST_MAILS mails, then for the outcome of all mails that are planned for that time.

    Return that time. Raises DayError at the deadline.
    """
    until: datetime | None = None
    sent = waiting = unfinished = 0
    with Ticker(at.console) as ticker:
        while time.monotonic() < deadline:
            with _tolerate_restart(at), at.database() as connection:
                ticker.show(_progress(at, connection))
                sent, waiting, unfinished = _count_sent(connection, since, until or datetime.now(UTC))
                if sent >= FIRST_MAILS and until is None:
                    until = datetime.now(UTC)
                elif until and not waiting and not unfinished:
                    return until
            time.sleep(POLL_SECONDS)
    state = (
        f"{sent} mails were sent, {waiting} of their contacts did not advance, and {unfinished} mails wait"
        if sent
        else "no mail was sent"
    )
    raise DayError(
        f"After {GIVE_UP_SECONDS // 60} minutes {state} (expected: {FIRST_MAILS} mails). "
        f"See {at.variables['DAGSTER_URL']}/runs and {StackFolder(at.root).path / 'logs'}."
    )


def _count_sent(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> tuple[int, int, int]:
    row = connection.execute(query("day", "count_sent"), {"since": since, "until": until}).fetchone()
    return (row[0], row[1], row[2]) if row else (0, 0, 0)


@contextmanager
def _tolerate_restart(at: DayContext) -> Iterator[None]:
    """Ignore a failed read while Postgres restarts; raise DayError if the stack was stopped."""
    try:
        yield
    except psycopg.OperationalError as error:
        if not StackFolder(at.root).is_ready():
            raise DayError("The stack was stopped.") from error


def _verdict(at: DayContext, since: datetime, promised_until: datetime, *, loaded: bool) -> Verdict:
    until = datetime.now(UTC)
    mails = _read_sink(at.variables["MAIL_SINK_URL"])
    with at.database() as connection:
        times = {"since": since, "until": promised_until}
        planned = connection.cursor(row_factory=class_row(PlannedMail))
        broken = connection.cursor(row_factory=class_row(BrokenPromise))
        planned.execute(query("day", "read_planned_mails"), times)
        broken.execute(query("day", "read_broken_promises"), times)
        verdict = judge(mails, planned, since=since, until=until, loaded=loaded)
        verdict.faults += [promise.fault for promise in broken]
    return verdict


def _read_sink(url: str) -> list[Mail]:
    try:
        return [Mail.of(entry) for entry in request_json(f"{url}/api/messages", "The mail sink")]
    except (RemoteError, KeyError, TypeError) as error:
        raise DayError(f"{error}. See .local/logs/mail-sink.log.") from error


def _report(console: Console, verdict: Verdict, meter: LoadMeter) -> bool:
    for fault in verdict.faults:
        console.print(f"  [red]fault[/] {fault}", soft_wrap=True)
    if verdict.late_from_before:
        console.print(f"  {verdict.late_from_before} mails were planned for a time when the stack was down.")
    console.print(f"  {_lateness(verdict, meter)}", soft_wrap=True)
    if not verdict.faults and verdict.mails >= FIRST_MAILS <= verdict.advanced:
        console.print(
            f"[green]All checks passed:[/] {verdict.mails} mails arrived once, from the planned mailbox. "
            f"{verdict.advanced} contacts advanced to the planned step and date.",
            soft_wrap=True,
        )
        return True
    console.print(f"[red]Checks failed:[/] {verdict.mails} mails, {len(verdict.faults)} faults.")
    return False


def _lateness(verdict: Verdict, meter: LoadMeter) -> str:
    """Return how late mails were, and which bound applied."""
    late = (
        f"Mails were {verdict.median_seconds:.1f} s late (median), at most {verdict.slowest_seconds:.1f} s."
    )
    if not meter.is_loaded:
        return f"{late} Allowed: {PROMPT_SECONDS:.0f} s."
    return (
        f"{late} The machine is loaded: other programs used up to {meter.share:.0%} of it, so the bound of "
        f"{PROMPT_SECONDS:.0f} s does not apply."
    )
