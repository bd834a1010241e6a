"""Command `sequences verify`: checks the ledger against the delivery invariants."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequence_cli.output import AsJson, print_json

if TYPE_CHECKING:
    from sequence_pipelines.maintenance.invariants import Violation

EXAMPLES = 10  # per invariant
DAYS = ["%Y-%m-%d"]


def verify(
    day: Annotated[
        datetime | None, typer.Option(formats=DAYS, help="Only sends of this planning day.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=DAYS, help="Sends of this planning day and later. Default: the last seven days."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the delivery invariants: no duplicates, no losses, no mail after a stop, limits and gaps kept.

    The command reads in one transaction and writes nothing, so it can run at any time. Exit status 1: an
    invariant is violated. docs/reliability.md explains each invariant.
    """
    from datetime import UTC, timedelta

    from rich.console import Console
    from rich.progress import Progress

    from sequence_pipelines.maintenance.verify import Period, count_sends
    from sequence_pipelines.maintenance.verify import verify as find_violations
    from sequence_store.postgres.connection import connect
    from sequence_store.secrets.pipeline_secret import read_pipeline_settings

    if day and since:
        raise typer.BadParameter("cannot be combined; use one of them", param_hint="--day, --since")
    settings = read_pipeline_settings()
    now = datetime.now(UTC)
    first = since.date() if since else settings.calendar.day_of(now) - timedelta(days=6)
    period = Period.of_day(day.date(), settings) if day else Period.from_day(first, settings, now)
    console = Console(stderr=True)
    with (
        connect(settings.pipeline_database_url, name="sequences verify") as connection,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        sends = count_sends(connection, period)
        connection.rollback()
        task = progress.add_task("Checking sends", total=sends)
        found = Found()
        for violation in find_violations(
            connection, settings, period, now, lambda done: progress.update(task, completed=done)
        ):
            found.add(violation)
    if as_json:
        print_json(found.document(sends))
    else:
        typer.echo(found.text(sends))
    raise typer.Exit(1 if found.counts else 0)


class Found:
    """Counts violations and keeps the first examples of each invariant."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: list[Violation] = []

    def add(self, violation: Violation) -> None:
        self.counts[violation.invariant] += 1
        if self.counts[violation.invariant] <= EXAMPLES:
            self.examples.append(violation)

    def document(self, sends: int) -> dict[str, Any]:
        return {
            "sends": sends,
            "violations": {str(name): count for name, count in sorted(self.counts.items())},
            "examples": [
                {
                    "invariant": one.invariant.value,
                    "message": one.message,
                    "send": one.key._asdict() if one.key else None,
                }
                for one in self.examples
            ],
        }

    def text(self, sends: int) -> str:
        if not self.counts:
            return f"{sends:,} sends: every invariant holds."
        lines = [f"{sends:,} sends, {self.counts.total():,} violations:"]
        for one in sorted(self.examples):
            where = f" (sequence, contact, step, round: {', '.join(map(str, one.key))})" if one.key else ""
            lines.append(f"  {one.invariant.value}  {one.message}{where}")
        if more := self.counts.total() - len(self.examples):
            lines.append(f"  … and {more:,} more")
        return "\n".join(lines)
