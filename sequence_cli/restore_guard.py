"""`sequences restore-guard`: a snapshot that was restored mails nothing that was mailed already."""

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
        str, typer.Option(metavar="INSTANT", help="When the snapshot was taken: 2026-06-15T04:00:00+00:00.")
    ],
    sent: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A file that names mails by Message-ID: a Sent folder, a server's log.",
        ),
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="--sent names every mail since: nothing else was mailed.")
    ] = False,
    keep_places: Annotated[
        bool, typer.Option("--keep-places", help="No plan was made since: planned places after now hold.")
    ] = False,
    queue: Annotated[
        bool, typer.Option(help="Read what workers reported into the results queue (it stays there).")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run once after restoring a snapshot, before anything else is started.

    Whatever may have been mailed since the snapshot becomes unknown, and what is known to have been mailed becomes
    sent. Unknown sends are not mailed again by themselves (`sequences sends`). Guarding again changes nothing.
    """
    taken = _instant(since)
    if complete and not sent:
        raise typer.BadParameter("needs --sent, the names of all mails", param_hint="--complete")

    from sequence_pipelines.maintenance.restore_guard import guard
    from sequence_store.postgres.connection import connect
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    if keep_places and settings.calendar.day_of(taken) != settings.calendar.day_of(datetime.now(UTC)):
        raise typer.BadParameter(
            "a planning day has begun since, and with it a plan", param_hint="--keep-places"
        )
    evidence = _named_in(sent or [], settings) | (_reported(settings) if queue else {})
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
    typer.echo(f"{len(evidence):,} mails are known to have ended since {taken:%Y-%m-%d %H:%M:%S %Z}.")
    typer.echo(
        f"{found.of_snapshot.total():,} sends of the snapshot and {found.since.total():,} that it does not know:"
    )
    for status, count in sorted(found.total.items()):
        typer.echo(f"  {status}: {count:,}")
    if dry_run:
        typer.echo("Nothing was written.")


def _instant(words: str) -> datetime:
    try:
        instant = datetime.fromisoformat(words)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None or instant > datetime.now(UTC):
        raise typer.BadParameter(
            "give a past instant with its zone: 2026-06-15T04:00:00+00:00", param_hint="--since"
        )
    return instant.astimezone(UTC)


def _named_in(files: list[Path], settings: OwnerSettings) -> dict[SendKey, SendStatus]:
    from sequence_store.domain.states import SendStatus
    from sequence_store.mail.message_ids import keys_named_in

    secret = settings.address_key.get_secret_value().encode()
    texts = (file.read_text(encoding="utf-8", errors="replace") for file in files)
    return {key: SendStatus.SENT for text in texts for key in keys_named_in(text, secret)}


def _reported(settings: OwnerSettings) -> dict[SendKey, SendStatus]:
    from sequence_pipelines.maintenance.restore_guard import results_in
    from sequence_store.sqs import Queue, sqs_client

    client = sqs_client(settings)
    try:
        return results_in(Queue.look_up(client, settings.delivery_results_queue))
    finally:
        client.close()
