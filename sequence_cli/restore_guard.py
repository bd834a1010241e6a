"""Command `sequences restore-guard`: prevents repeated mails after a snapshot was restored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sequence_cli.output import AsJson, print_json

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
            exists=True,
            dir_okay=False,
            help="File with Message-IDs of sent mails: a Sent folder or a server log. Repeatable.",
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be written; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run once after a snapshot was restored, before any other program starts.

    A send that may have been mailed since the snapshot becomes unknown; a send that is known to have been
    mailed becomes sent. Unknown sends are not retried automatically (see `sequences sends`). The command can
    be repeated.
    """
    taken = _instant(since)
    if complete and not sent:
        raise typer.BadParameter("requires --sent with the Message-IDs of all mails", param_hint="--complete")

    from sequence_pipelines.maintenance.restore_guard import guard
    from sequence_store.postgres.connection import connect
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    if keep_places and settings.calendar.day_of(taken) != settings.calendar.day_of(datetime.now(UTC)):
        raise typer.BadParameter(
            "cannot be used: a planning day, and so a plan, has started since the snapshot",
            param_hint="--keep-places",
        )
    evidence = _read_sent(sent or []) | (_read_results(settings) if queue else {})
    with connect(settings.database_url, name="sequences restore-guard") as connection:
        found = guard(connection, settings, taken, evidence, keep_places=keep_places, complete=complete)
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


def _read_sent(files: list[Path]) -> dict[SendKey, SendStatus]:
    from sequence_store.domain.states import SendStatus
    from sequence_store.mail.message_ids import keys_named_in
    from sequence_store.settings import MessageIdSettings, read_settings

    secrets = read_settings(MessageIdSettings).message_id_keys
    texts = (file.read_text(encoding="utf-8", errors="replace") for file in files)
    return {key: SendStatus.SENT for text in texts for key in keys_named_in(text, *secrets)}


def _read_results(settings: OwnerSettings) -> dict[SendKey, SendStatus]:
    from sequence_pipelines.maintenance.restore_guard import results_in
    from sequence_store.sqs import Queue, sqs_client

    client = sqs_client(settings)
    try:
        return results_in(Queue.look_up(client, settings.delivery_results_queue))
    finally:
        client.close()
