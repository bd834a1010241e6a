"""Command `sequences restore-guard`: prevents repeated mails after a snapshot was restored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sequence_cli.output import AsJson, print_json
from sequence_cli.text_input import read_text

if TYPE_CHECKING:
    from sequence_store.domain.messages import SendKey
    from sequence_store.domain.states import SendStatus
    from sequence_store.settings import OwnerSettings


def restore_guard(
    since: Annotated[
        str, typer.Option(metavar="INSTANT", help="Time of the snapshot, as 2026-06-15T04:00:00+00:00.")
    ],
    sent: Annotated[
        list[Path] | None,
        typer.Option(
            help="File with Message-IDs of sent mails: a Sent folder or a server log; - is standard input. "
            "Repeatable.",
        ),
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="The --sent files name every mail since the snapshot.")
    ] = False,
    keep_places: Annotated[
        bool,
        typer.Option("--keep-places", help="No plan was made since the snapshot: keep its future sends."),
    ] = False,
    queue: Annotated[bool, typer.Option(help="Read the results queue; messages stay in the queue.")] = True,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before sends of unknown outcome are given up.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be written; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run once after a snapshot was restored, before any other program starts.

    A send that may have been mailed since the snapshot becomes unknown; a send that is known to have been
    mailed becomes sent. Unknown sends are not retried automatically (see `sequences sends`). The command can
    be repeated.

    With --sent FILE --complete the result is exact: no send becomes unknown. Without it, the command says how
    many sends it gives up, and asks.
    """
    taken = _instant(since)
    if complete and not sent:
        raise typer.BadParameter("requires --sent with the Message-IDs of all mails", param_hint="--complete")

    from sequence_pipelines.maintenance.restore_guard import Guarded, guard
    from sequence_store.domain.states import SendStatus
    from sequence_store.postgres.connection import connect
    from sequence_store.settings import OwnerSettings, read_settings

    records = [read_text(file, hint="--sent") for file in sent or []]
    settings = read_settings(OwnerSettings)
    if keep_places and settings.calendar.day_of(taken) != settings.calendar.day_of(datetime.now(UTC)):
        raise typer.BadParameter(
            "cannot be used: a planning day, and so a plan, has started since the snapshot",
            param_hint="--keep-places",
        )
    evidence = _sends_named(records) | (_read_results(settings) if queue else {})
    with connect(settings.database_url, name="sequences restore-guard") as connection:

        def guarded() -> Guarded:
            return guard(connection, settings, taken, evidence, keep_places=keep_places, complete=complete)

        if not (dry_run or yes):
            costs = guarded().total[SendStatus.UNKNOWN]
            connection.rollback()
            if costs:
                _ask(costs, taken)
        found = guarded()
        if dry_run:
            connection.rollback()
    if as_json:
        print_json(
            {
                "since": taken,
                "known_to_have_ended": len(evidence),
                "of_snapshot": dict(sorted(found.of_snapshot.items())),
                "unknown_to_snapshot": dict(sorted(found.since.items())),
                "written": not dry_run,
            }
        )
        return
    typer.echo(f"{len(evidence):,} mails have a known outcome since {taken:%Y-%m-%d %H:%M:%S %Z}.")
    typer.echo(
        f"New status of {found.of_snapshot.total():,} sends in the snapshot "
        f"and {found.since.total():,} sends created after it:"
    )
    for status, count in sorted(found.total.items()):
        typer.echo(f"  {status}: {count:,}")
    if dry_run:
        typer.echo("Nothing was written.")


def _ask(costs: int, taken: datetime) -> None:
    """Say what the inexact form does, and ask; exit with status 1 unless the answer is yes."""
    typer.echo(
        f"{costs:,} sends become unknown: nothing shows whether they were mailed since "
        f"{taken:%Y-%m-%d %H:%M:%S %Z}. Each of these contacts loses the mail of its step, "
        f"unless it was mailed: the send is not repeated, and after UNKNOWN_SETTLES it counts as sent.\n"
        "To give up none, stop here and name the mails that went out: --sent FILE --complete "
        "(docs/runbook.md, Back up and restore).",
        err=True,
    )
    try:
        agreed = typer.confirm("Continue?", default=False, err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        typer.echo("\nNothing was written. `--yes` answers for a script.", err=True)
        raise typer.Exit(1)


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None or instant > datetime.now(UTC):
        raise typer.BadParameter(
            "must be a past instant with a UTC offset, as 2026-06-15T04:00:00+00:00", param_hint="--since"
        )
    return instant.astimezone(UTC)


def _sends_named(texts: list[str]) -> dict[SendKey, SendStatus]:
    from sequence_store.domain.states import SendStatus
    from sequence_store.mail.message_ids import keys_named_in
    from sequence_store.settings import MessageIdSettings, read_settings

    secrets = read_settings(MessageIdSettings).known_message_id_keys
    return {key: SendStatus.SENT for text in texts for key in keys_named_in(text, *secrets)}


def _read_results(settings: OwnerSettings) -> dict[SendKey, SendStatus]:
    from sequence_pipelines.maintenance.restore_guard import results_in
    from sequence_store.sqs import Queue, sqs_client

    client = sqs_client(settings)
    try:
        environment = settings.sequence_environment
        queue = Queue.look_up(client, settings.delivery_results_queue, environment=environment)
        return results_in(queue)
    finally:
        client.close()
