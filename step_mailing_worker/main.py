"""Runs the worker as a process: signals, logs, exit status."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

from sequence_store.settings import WorkerSettings
from step_mailing_worker import logs
from step_mailing_worker.mailbox_reader import MailboxReader
from step_mailing_worker.worker import Worker


def run(settings: WorkerSettings) -> int:
    """Send the queue's mails until SIGTERM or SIGINT; return the exit status, 0.

    Raise QueueMissingError where nobody has created the queues.
    """
    logs.configure()
    asyncio.run(_work(settings))
    return 0


def read_inboxes(settings: WorkerSettings, *, once: bool) -> Counter[str]:
    """Read the mailboxes' mail until SIGTERM or SIGINT, or once; return what was recorded then, by kind."""
    logs.configure()
    return asyncio.run(_read(settings, once=once))


async def _read(settings: WorkerSettings, *, once: bool) -> Counter[str]:
    reader = MailboxReader(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, reader.stop)
    if once:
        return await reader.run_once()
    await reader.run()
    return Counter()


async def _work(settings: WorkerSettings) -> None:
    worker = Worker(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.stop)
    await worker.run()
