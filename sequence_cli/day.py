"""`sequences day`: what `make run` does."""

from __future__ import annotations

from typing import Annotated

import typer


def day(
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the first mails went out and advanced.")
    ] = False,
) -> None:
    """Start the stack, load sample data on the first start, plan today, and watch it being mailed."""
    from sequence_cli import watched_day

    raise typer.Exit(0 if watched_day.run(once=once) else 1)
