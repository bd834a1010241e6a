"""`sequences worker`: the step mailing worker."""

from __future__ import annotations


def work() -> None:
    """Send the mails of the queue until SIGTERM, then finish what is in hand."""
    from sequence_store.settings import WorkerSettings, read_settings

    settings = read_settings(WorkerSettings)  # first, so that a missing one is told at once

    from step_mailing_worker import main

    main.run(settings)
