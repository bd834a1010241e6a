"""`sequences worker` sends, and `sequences inbox` reads what comes back."""

from __future__ import annotations

from typing import Annotated

import typer

from sequence_cli.output import AsJson, print_json


def work() -> None:
    """Send the mails of the queue until SIGTERM, then finish what is in hand."""
    from sequence_store.settings import WorkerSettings, read_settings

    settings = read_settings(WorkerSettings)  # first, so that a missing one is told at once

    from step_mailing_worker import main

    main.run(settings)


def inbox(
    once: Annotated[bool, typer.Option("--once", help="Look once, say what was recorded, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read the mailboxes' mail until SIGTERM: replies end their sequence, bounces suppress. Marks nothing as read."""
    from sequence_store.settings import WorkerSettings, read_settings

    settings = read_settings(WorkerSettings)

    from step_mailing_worker import main

    recorded = main.read_inboxes(settings, once=once)
    if once and as_json:
        print_json(dict(sorted(recorded.items())))
    elif once:
        typer.echo(", ".join(f"{count} {kind}" for kind, count in sorted(recorded.items())) or "nothing new")
