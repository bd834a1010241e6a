"""`sequences status`: a page of the state of things, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import typer

from sequence_cli.output import AsJson, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from sequence_cli.system_state import Late, LedgerStatus, Orchestration, SystemState

LATE_SECONDS = 120.0  # a minute's sensor, a run's start: later than this, something stands still
ORDER = (
    "planned",
    "dispatched",
    "claimed",
    "transmitting",
    "sent",
    "hard_failed",
    "unknown",
    "cancelled",
    "expired",
)
MOST_PARKED = 10


def status(as_json: AsJson = False) -> None:
    """Show the state of things: programs, today's plan, who waits and why, what is late, what to do next.

    It reads as the read-only role and changes nothing. Exit status 1 means that something needs a person.
    """
    from sequence_cli.system_state import read_state
    from sequence_store.settings import ObserverSettings, read_settings

    state = read_state(read_settings(ObserverSettings), datetime.now(UTC))
    todo = list(advise(state))
    if as_json:
        print_json(_document(state, todo))
    else:
        from rich.console import Console

        _show(Console(highlight=False), state, todo)
    if todo:
        raise typer.Exit(1)


def advise(state: SystemState) -> Iterator[str]:
    """Yield what a person should do, the most urgent first; nothing where all is well."""
    for source, reason in state.silent.items():
        yield f"{source} does not answer ({reason}): start it, or set its variable (docs/settings.md)."
    if state.ledger:
        yield from _advise_on_sends(state.ledger)
    if state.dagster:
        yield from _advise_on_dagster(state.dagster, state.day)
    for name, queue in (state.queues or {}).items():
        if queue.dead:
            yield f"{queue.dead:,} dead letters of {name}: docs/runbook.md says how to read them."


def _advise_on_sends(ledger: LedgerStatus) -> Iterator[str]:
    if ledger.undispatched.seconds > LATE_SECONDS:
        yield (
            f"{_late(ledger.undispatched)} past their second are not dispatched: look at timed_dispatch_sensor's "
            "ticks in Dagster."
        )
    if not ledger.worker_connections:
        yield "No worker is connected: start `sequences worker`."
    elif ledger.unsent.seconds > LATE_SECONDS:
        yield f"{_late(ledger.unsent)} past their second are not mailed: look into the worker's log."
    if ledger.unadvanced.seconds > LATE_SECONDS * 5:
        yield f"{_late(ledger.unadvanced)} have ended and not advanced: look at delivery_results_sensor's ticks."
    if ledger.unknown.sends:
        yield (
            f"{ledger.unknown.sends:,} sends have an unknown outcome: `sequences sends list --status unknown`, "
            "then `sequences sends resolve`."
        )
    if ledger.parked:
        yield f"Parked mailboxes: {len(ledger.parked):,}. `sequences mailbox check ADDRESS` says what is wrong."


def _advise_on_dagster(dagster: Orchestration, today: date) -> Iterator[str]:
    if not dagster.loaded:
        yield "Dagster has not loaded the code location: look at its deployment page."
    if dagster.ill_daemons:
        yield f"Dagster's daemon is not healthy ({', '.join(dagster.ill_daemons)}): start it again."
    for name in dagster.switched_off:
        yield f"{name} is switched off: switch it on in Dagster."
    if dagster.missed:
        yield (
            f"{len(dagster.missed)} days have no plan ({_days(dagster.missed)}): backfill the job daily_plan for them; "
            "their contacts are in today's plan already."
        )
    if dagster.plan is None or dagster.plan.partition[:10] < today.isoformat():
        yield f"Today ({today}) has no plan yet: materialize send_plan for it in Dagster."
    for job, runs in dagster.failed_runs.items():
        yield f"{runs} runs of {job} failed in the last day: read them in Dagster."


def _days(days: list[Any]) -> str:
    shown = ", ".join(str(day) for day in days[:3])
    return f"{shown}, …" if len(days) > 3 else shown  # noqa: PLR2004


def _late(late: Late) -> str:
    return f"{late.sends:,} sends, the first {duration(late.seconds)}"


def duration(seconds: float) -> str:
    """Return a duration in its largest unit: 45 s, 12 min, 3 h, 2 d."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length * 2:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _show(console: Console, state: SystemState, todo: list[str]) -> None:
    console.print(f"[bold]Planning day {state.day}[/] until {state.ends:%Y-%m-%d %H:%M} UTC")
    _section(console, "Programs", _programs(state))
    if state.ledger:
        _section(console, "Today", _today(state, state.ledger))
        _section(
            console,
            "Waiting",
            [(reason.replace("_", " "), f"{n:,}") for reason, n in state.ledger.waiting.items()],
        )
        _section(
            console,
            "Parked mailboxes",
            [
                (p.address, f"until {p.until:%Y-%m-%d %H:%M} UTC: {p.reason}")
                for p in state.ledger.parked[:MOST_PARKED]
            ],
        )
    if state.queues:
        _section(
            console,
            "Queues",
            [
                (
                    name,
                    f"{q.visible:,} waiting, {q.delayed:,} timed, {q.in_flight:,} in hand, {q.dead:,} dead",
                )
                for name, q in state.queues.items()
            ],
        )
    _section(console, "What to do", [("→", line) for line in todo] or [("", "Nothing: all is well.")])


def _programs(state: SystemState) -> Iterator[tuple[str, str]]:
    def answers(source: str) -> str:
        return f"[red]silent[/]: {state.silent[source]}" if source in state.silent else "answers"

    yield "database", answers("database")
    yield "queues", answers("queues")
    yield "API", answers("api")
    if state.ledger:
        workers = state.ledger.worker_connections
        yield "worker", f"connected ({workers} connections)" if workers else "[red]none is connected[/]"
    if "dagster" in state.silent or state.dagster:
        ill = state.dagster.ill_daemons if state.dagster else []
        yield "Dagster", f"[red]not healthy[/]: {', '.join(ill)}" if ill else answers("dagster")
    else:
        yield "Dagster", "not asked: DAGSTER_URL is not set"


def _today(state: SystemState, ledger: LedgerStatus) -> Iterator[tuple[str, str]]:
    if state.dagster:
        made = state.dagster.plan
        told = (
            f"{made.partition}, made {made.at:%Y-%m-%d %H:%M:%S} UTC in {made.seconds:.1f} s"
            if made
            else "none yet"
        )
        yield "latest plan", told
        yield "missed days", _days(state.dagster.missed) or "none"
    for name in ORDER:
        if name in ledger.sends:
            why = ", ".join(
                f"{reason} {n:,}" for (status, reason), n in ledger.reasons.items() if status == name
            )
            yield name.replace("_", " "), f"{ledger.sends[name]:,}" + (f"  ({why})" if why else "")
    if not ledger.sends:
        yield "sends", "none"
    yield "next mail", f"{ledger.next_at:%H:%M:%S} UTC" if ledger.next_at else "-"
    yield "limits used", f"{ledger.used:,} of {ledger.allowed:,} in {ledger.active_mailboxes:,} mailboxes"
    if ledger.unknown.sends:
        yield "unknown", f"{ledger.unknown.sends:,}, the first for {duration(ledger.unknown.seconds)}"


def _section(console: Console, title: str, rows: Any) -> None:
    from rich.table import Table

    rows = list(rows)
    if not rows:
        return
    table = Table(title=f"\n{title}", title_justify="left", box=None, show_header=False, title_style="bold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _document(state: SystemState, todo: list[str]) -> dict[str, Any]:
    document = asdict(state) | {"todo": todo}
    if state.ledger:
        document["ledger"]["reasons"] = [
            {"status": status, "reason": reason, "sends": n}
            for (status, reason), n in state.ledger.reasons.items()
        ]
    return document
