"""Commands `sequences pause-all` and `sequences resume-all`: stop and restart all sending."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

CLOCKS = timedelta(minutes=5)  # sends that were claimed a moment early


def pause_all(
    reason: Annotated[str, typer.Option(help="Why; `sequences status` and the Dagster UI show it.")],
) -> None:
    """Stop all sending: once the command returns, no mail starts until `sequences resume-all`.

    Mails that are being transmitted at this moment go out. A send whose time comes is cancelled with the
    reason `all_paused`, and its contact stays due. Plans go on, so what they place after the pause is sent.
    """
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    text = " ".join(reason.split())
    if not text:
        raise typer.BadParameter("must not be empty", param_hint="--reason")
    with connect(read_settings(OwnerSettings).database_url, name="sequences pause-all") as connection:
        [(paused,)] = connection.execute(query("pauses", "pause_all"), {"reason": text}).fetchall()
        [(at, why)] = connection.execute(query("pauses", "read_pause")).fetchall()
        [(under_way,)] = connection.execute(query("pauses", "count_under_way")).fetchall()
    since = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    if not paused:
        typer.echo(f"All sending is already paused, since {since}: {why}")
        return
    typer.echo(f"All sending is paused since {since}. `sequences resume-all` resumes it.")
    if under_way:
        typer.echo(f"{under_way:,} mails were being transmitted at that moment and may still go out.")


def resume_all() -> None:
    """Resume all sending after `sequences pause-all`.

    The contacts whose sends were cancelled meanwhile are due: the next plan takes them up.
    """
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences resume-all") as connection:
        resumed = connection.execute(query("pauses", "resume_all")).fetchone()
        if resumed is None:
            typer.echo("Nothing is paused.")
            return
        at, reason = resumed
        [(held_back,)] = connection.execute(
            query("pauses", "count_held_back"), {"since": at - CLOCKS}
        ).fetchall()
    typer.echo(f"Sending is resumed. It was paused since {at:%Y-%m-%d %H:%M:%S} UTC: {reason}")
    if held_back:
        typer.echo(
            f"{held_back:,} sends were cancelled meanwhile. The next plan takes their contacts up; to plan "
            "them into the rest of today, run `sequences plan`."
        )
