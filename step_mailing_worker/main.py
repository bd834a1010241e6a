"""Runs the worker as a process: signals, logs, exit status."""

from __future__ import annotations

import asyncio
import signal

from sequence_store.settings import WorkerSettings
from step_mailing_worker import logs
from step_mailing_worker.worker import Worker


def run(settings: WorkerSettings) -> int:
    """Send the queue's mails until SIGTERM or SIGINT; return the exit status, 0.

    Raise QueueMissingError where nobody has created the queues.
    """
    logs.configure()
    asyncio.run(_work(settings))
    return 0


async def _work(settings: WorkerSettings) -> None:
    worker = Worker(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.stop)
    await worker.run()
