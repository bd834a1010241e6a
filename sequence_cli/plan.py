"""Command `sequences plan`: makes today's plan with the code of Dagster's runs, or previews it."""

from __future__ import annotations

import gc
import time
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequence_cli.output import AsJson, print_json
from sequence_pipelines.planning.scenario import MOST_DAYS

if TYPE_CHECKING:
    from sequence_pipelines.planning.engine.proof import Cut
    from sequence_pipelines.planning.planner import Plan

MOST_MAILBOXES = 10
MOST_CLASSES = 100  # that are explained


def plan(
    day: Annotated[
        datetime | None,
        typer.Argument(
            formats=["%Y-%m-%d"],
            help="The current planning day; no other day can be planned.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; write nothing.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the full mailboxes and limits that hold back who waits.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Plan all due contacts for the rest of today; show the planned sends and the contacts that wait.

    A Dagster run makes the same plan and also reports charts and checks. A plan that violates an invariant is
    rolled back. Missed days need no plan of their own: today's plan includes every contact that is due.
    """
    from rich.console import Console

    from sequence_pipelines.planning.planner import make_plan, trace_sends
    from sequence_store.postgres.connection import connect
    from sequence_store.secrets.pipeline_secret import read_pipeline_settings
    from sequence_store.tracing.factory import open_traces

    settings = read_pipeline_settings()
    now = datetime.now(UTC)
    if day:
        _refuse_other_days(day.date(), settings.calendar.day_of(now))
    console = Console(stderr=True)
    gc.freeze()  # excludes the imported modules from garbage collection while planning
    started = time.time_ns()
    with connect(settings.pipeline_database_url, name="sequences plan") as connection:
        with console.status("Planning"):
            made = make_plan(connection, settings, now)
        written = made.keep_or_undo(connection, dry_run=dry_run)
        names: dict[int, str] = dict(connection.execute(_statement("name_mailboxes")).fetchall())
        sequences: dict[int, str] = dict(connection.execute(_statement("name_sequences")).fetchall())
    if written:
        traces = open_traces(settings, "sequences-plan")
        trace_sends(traces, made, started)
        traces.stop()
        from sequence_pipelines.dispatch.quota_counters import set_quota_counters

        with connect(settings.pipeline_database_url, name="sequences plan") as connection:
            set_quota_counters(connection, settings, made.day.day)
    violations = {check: count for check, count in made.violations.items() if count}
    document = _document(made, names, violations, written=written)
    if explain:
        document["held_back"] = _held_back(made.cuts, names, sequences)
    if as_json:
        print_json(document)
    else:
        _show(document)
    if violations:
        typer.echo("The plan violates invariants and was rolled back. Please report this as a bug.", err=True)
        raise typer.Exit(1)


def _refuse_other_days(day: date, today: date) -> None:
    if day < today:
        raise typer.BadParameter(
            "is in the past; today's plan includes the contacts due then. Omit DAY to make it",
            param_hint="DAY",
        )
    if day > today:
        days = min((day - today).days + 1, MOST_DAYS)
        raise typer.BadParameter(
            "is in the future and depends on the days before it. "
            f"`sequences forecast --days {days}` plans them all",
            param_hint="DAY",
        )


def _statement(name: str) -> bytes:
    from sequence_store.postgres.queries import query

    return query("forecast", name)


def _held_back(cuts: list[Cut], names: dict[int, str], sequences: dict[int, str]) -> list[dict[str, Any]]:
    """Return the classes in which somebody waits, their bounds, and the full places that prove the bounds.

    Of more than MOST_CLASSES the last ones are left out.
    """
    from sequence_pipelines.planning.engine.proof import accumulate, describe_class
    from sequence_pipelines.planning.engine.windows import from_epoch_day

    return [
        {
            "class": describe_class(cut),
            "waiting": cut.waiting,
            "served": cut.served,
            "at_most": cut.bound,
            "full": [
                {"address": names.get(box, str(box)), "date": from_epoch_day(day)}
                for box, day in full.intervals
            ],
            "max_first_mails": [names.get(box, str(box)) for box in full.mailboxes],
            "max_new_per_day": [sequences.get(one, str(one)) for one in full.sequences],
        }
        for cut, full in accumulate(cuts[:MOST_CLASSES])
    ]


def _document(
    made: Plan, names: dict[int, str], violations: dict[str, int], *, written: bool
) -> dict[str, Any]:
    boxes = made.placed["mailbox_id"].value_counts()
    counted = zip(boxes.index.tolist(), boxes.tolist(), strict=True)
    open_intervals = made.snapshot.open_intervals
    return {
        "day": made.day.day,
        "uses": {"from": made.day.now, "to": made.day.ends},
        "written": written,
        "planned": len(made.placed),
        "waiting": {str(r): int(n) for r, n in made.waiting["reason"].value_counts().items()},
        "released": made.revoked,
        "advanced_before": made.applied.advanced,
        "completed": made.completed + made.applied.completed,
        "capacity_before": int(open_intervals["capacity"].sum()),
        "mailboxes": [{"address": names.get(one, str(one)), "planned": n} for one, n in counted],
        "first_at": _instant(made, "min"),
        "last_at": _instant(made, "max"),
        "seconds": {phase: round(spent, 3) for phase, spent in made.seconds.items()},
        "violations": violations,
    }


def _instant(made: Plan, which: str) -> datetime | None:
    if made.placed.empty:
        return None
    return datetime.fromtimestamp(int(getattr(made.placed["send_at"], which)()), UTC)


def _show_held_back(console: Any, held_back: list[dict[str, Any]]) -> None:
    if not held_back:
        console.print("Nobody waits for a place.")
    for one in held_back:
        console.print(
            f"{one['class']}: {one['waiting']:,} of this class and those before it wait; {one['served']:,} "
            f"are served, and no plan serves more than {one['at_most']:,}",
            soft_wrap=True,
        )
        full = [f"{place['address']} on {place['date']}" for place in one["full"]]
        for name, places in (
            ("full", full),
            ("max_first_mails reached", one["max_first_mails"]),
            ("max_new_per_day reached", one["max_new_per_day"]),
        ):
            if places:
                more = f" and {len(places) - MOST_MAILBOXES:,} more" if len(places) > MOST_MAILBOXES else ""
                console.print(f"  {name}: {', '.join(places[:MOST_MAILBOXES])}{more}", soft_wrap=True)


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    what = "Planned" if document["written"] else "Would plan"
    console.print(f"[bold]{what} {document['planned']:,} mails[/] for {document['day']}", soft_wrap=True)
    if document["first_at"]:
        first, last = document["first_at"], document["last_at"]
        console.print(f"between {first:%Y-%m-%d %H:%M:%S} and {last:%Y-%m-%d %H:%M:%S} UTC")
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = [
        *((f"waiting: {reason.replace('_', ' ')}", n) for reason, n in document["waiting"].items()),
        ("sends revoked", document["released"]),
        ("enrolments completed", document["completed"]),
        ("mailbox capacity before", document["capacity_before"]),
        *((box["address"], box["planned"]) for box in document["mailboxes"][:MOST_MAILBOXES]),
    ]
    for name, number in rows:
        table.add_row(name, f"{number:,}")
    console.print(table)
    if "held_back" in document:
        _show_held_back(console, document["held_back"])
    console.print(
        f"in {sum(document['seconds'].values()):.1f} s"
        + ("" if document["written"] else "; nothing was written (dry run)")
    )
