"""`sequences worker`: the step mailing worker."""

from __future__ import annotations


def work() -> None:
    """Send the mails of the queue until SIGTERM, then finish what is in hand."""
    from step_mailing_worker.main import run

    from sequence_store.settings import WorkerSettings, read_settings

    run(read_settings(WorkerSettings))
