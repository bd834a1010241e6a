"""Command `sequences day`: the local demonstration that `make run` starts."""

from __future__ import annotations

from typing import Annotated

import typer


def day(
    once: Annotated[
        bool, typer.Option("--once", help="Stop once the first mails are sent and their contacts advanced.")
    ] = False,
) -> None:
    """Start the stack, load the sample data if there is none, plan today, and show the progress."""
    from sequence_cli import watched_day

    raise typer.Exit(0 if watched_day.run(once=once) else 1)
