"""Command `sequences status`: shows the system state and what the operator has to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import typer

from sequence_cli.output import AsJson, print_json
from sequence_store.domain.states import SendStatus

if TYPE_CHECKING:
    from rich.console import Console

    from sequence_cli.system_state import Late, LedgerStatus, Orchestration, Pause, SystemState

# A sensor ticks every minute and a run needs time to start; a longer delay is a fault.
LATE_SECONDS = 120.0
ADVANCE_LATE_SECONDS = 5 * LATE_SECONDS
UNREAD_SECONDS = 3600.0  # a reply that is not read stops nothing
MOST_PARKED = 10
MOST_DAYS = 3


def status(as_json: AsJson = False) -> None:
    """Show programs, today's plan, waiting contacts with reasons, late sends, and what to do next.

    The command uses the read-only role and changes nothing. Exit status 1: an operator has to act.
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
    """Yield what the operator has to do, the most urgent first; nothing if all is well."""
    for source, reason in state.silent.items():
        yield f"{source} does not respond ({reason}): start it, or set its variable (docs/settings.md)."
    if state.ledger:
        yield from _advise_on_sends(state.ledger)
    if state.dagster:
        yield from _advise_on_dagster(state.dagster, state.day)
    for name, queue in (state.queues or {}).items():
        if queue.dead:
            yield f"{queue.dead:,} dead letters of {name}: see docs/runbook.md for how to read them."


def _advise_on_sends(ledger_status: LedgerStatus) -> Iterator[str]:
    if ledger_status.paused:
        yield f"All sending is {_paused(ledger_status.paused)}. `sequences resume-all` resumes it."
    if ledger_status.undispatched.seconds > LATE_SECONDS:
        yield (
            f"{_late(ledger_status.undispatched)} are not dispatched: "
            "check the ticks of timed_dispatch_sensor in Dagster."
        )
    if not ledger_status.worker_connections:
        yield "No worker is connected: start `sequences worker`."
    elif ledger_status.unsent.seconds > LATE_SECONDS:
        yield f"{_late(ledger_status.unsent)} are not mailed: check the worker's log."
    if ledger_status.unadvanced.seconds > ADVANCE_LATE_SECONDS:
        yield (
            f"{_late(ledger_status.unadvanced)} have ended but did not advance: "
            "check the ticks of delivery_results_sensor in Dagster."
        )
    if ledger_status.unknown.sends:
        yield (
            f"{ledger_status.unknown.sends:,} sends have an unknown outcome: list them with "
            "`sequences sends list --status unknown`, then resolve each with `sequences sends resolve`."
        )
    if ledger_status.opt_outs:
        yield (
            f"{ledger_status.opt_outs:,} opt-outs wait for confirmation: list them with "
            "`sequences optouts list`, then confirm or lift each."
        )
    if ledger_status.unread_seconds > UNREAD_SECONDS:
        yield (
            f"The mails of {ledger_status.unread_mailbox} have not been read for "
            f"{duration(ledger_status.unread_seconds)}: check that `sequences inbox` runs, and its log."
        )
    if ledger_status.parked:
        parked = len(ledger_status.parked)
        yield f"Parked mailboxes: {parked:,}. `sequences mailbox check ADDRESS` finds the cause."


def _advise_on_dagster(dagster: Orchestration, today: date) -> Iterator[str]:
    if not dagster.loaded:
        yield "Dagster has not loaded the code location: check its deployment page."
    if dagster.ill_daemons:
        yield f"Dagster's daemon is not healthy ({', '.join(dagster.ill_daemons)}): restart it."
    for name in dagster.switched_off:
        yield f"{name} is switched off: switch it on in Dagster."
    if dagster.missed:
        yield (
            f"{len(dagster.missed)} days have no plan ({_days(dagster.missed)}): "
            "run a backfill of daily_plan for them. Today's plan already includes their contacts."
        )
    if dagster.plan is None or dagster.plan.partition[:10] < today.isoformat():
        yield f"Today ({today}) has no plan: materialize send_plan for it in Dagster."
    for job, runs in dagster.failed_runs.items():
        yield f"{runs} runs of {job} failed in the last 24 hours: check them in Dagster."


def _paused(pause: Pause) -> str:
    return f"paused since {pause.since:%Y-%m-%d %H:%M} UTC: {pause.reason}"


def _days(days: list[Any]) -> str:
    shown = ", ".join(str(day) for day in days[:MOST_DAYS])
    return f"{shown}, …" if len(days) > MOST_DAYS else shown


def _late(late: Late) -> str:
    return f"{late.sends:,} sends (the oldest is {duration(late.seconds)} late)"


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
                (name, ", ".join(f"{n:,} {kind.replace('_', ' ')}" for kind, n in asdict(queue).items()))
                for name, queue in state.queues.items()
            ],
        )
    _section(console, "What to do", [("→", line) for line in todo] or [("", "Nothing. All is well.")])


def _programs(state: SystemState) -> Iterator[tuple[str, str]]:
    def reachability(source: str) -> str:
        return f"[red]no response[/]: {state.silent[source]}" if source in state.silent else "responds"

    yield "database", reachability("database")
    yield "queues", reachability("queues")
    yield "API", reachability("api")
    if state.ledger and state.ledger.paused:
        from rich.markup import escape

        yield "sending", f"[red]{escape(_paused(state.ledger.paused))}[/]"
    if state.ledger:
        workers = state.ledger.worker_connections
        yield "worker", f"connected ({workers} connections)" if workers else "[red]none is connected[/]"
    if "dagster" in state.silent or state.dagster:
        ill = state.dagster.ill_daemons if state.dagster else []
        yield "Dagster", f"[red]not healthy[/]: {', '.join(ill)}" if ill else reachability("dagster")
    else:
        yield "Dagster", "not checked: DAGSTER_URL is not set"


def _today(state: SystemState, ledger_status: LedgerStatus) -> Iterator[tuple[str, str]]:
    if state.dagster:
        plan = state.dagster.plan
        yield (
            "latest plan",
            f"{plan.partition}, made {plan.at:%Y-%m-%d %H:%M:%S} UTC in {plan.seconds:.1f} s"
            if plan
            else "none",
        )
        yield "missed days", _days(state.dagster.missed) or "none"
    for name in SendStatus:
        if name in ledger_status.sends:
            why = ", ".join(
                f"{reason} {n:,}" for (status, reason), n in ledger_status.reasons.items() if status == name
            )
            yield name.replace("_", " "), f"{ledger_status.sends[name]:,}" + (f"  ({why})" if why else "")
    if not ledger_status.sends:
        yield "sends", "none"
    yield "next mail", f"{ledger_status.next_at:%H:%M:%S} UTC" if ledger_status.next_at else "-"
    of_limits = f"{ledger_status.used:,} of {ledger_status.allowed:,}"
    yield "limits used", f"{of_limits} in {ledger_status.active_mailboxes:,} mailboxes"
    if ledger_status.unknown.sends:
        yield (
            "unknown",
            f"{ledger_status.unknown.sends:,}, the oldest for {duration(ledger_status.unknown.seconds)}",
        )


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
        document["ledger"]["checks"] = [
            {"asset": asset, "check": check, "passed": passed}
            for (asset, check), passed in state.ledger.checks.items()
        ]
    return document
