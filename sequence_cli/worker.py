"""Commands `sequences worker` and `sequences inbox`: send mails, read replies and bounces."""

from __future__ import annotations

from typing import Annotated

import typer

from sequence_cli.output import AsJson, print_json


def work() -> None:
    """Send the mails of the queue until SIGTERM, then finish the mails in progress."""
    from sequence_store.settings import WorkerSettings, read_settings, refuse_default_passwords

    settings = read_settings(WorkerSettings)  # before the imports: a missing one is reported at once
    refuse_default_passwords(settings)

    from step_mailing_worker import main

    main.run(settings)


def inbox(
    once: Annotated[
        bool, typer.Option("--once", help="Read each mailbox once, print counts, and exit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the mailboxes until SIGTERM: a reply ends its sequence, a bounce suppresses its address.

    No mail is marked as read.
    """
    from sequence_store.settings import WorkerSettings, read_settings, refuse_default_passwords

    settings = read_settings(WorkerSettings)
    refuse_default_passwords(settings)

    from step_mailing_worker import main

    recorded = main.read_inboxes(settings, once=once)
    if once and as_json:
        print_json(dict(sorted(recorded.items())))
    elif once:
        typer.echo(", ".join(f"{count} {kind}" for kind, count in sorted(recorded.items())) or "nothing new")
