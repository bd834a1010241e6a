"""Runs the worker and the mailbox reader as processes: signals, logs, exit status."""

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

    Raise StoreError, such as QueueMissingError, if it must not start.
    """
    logs.configure()
    asyncio.run(_work(settings))
    return 0


def read_inboxes(settings: WorkerSettings, *, once: bool) -> Counter[str]:
    """Read the mailboxes' incoming mail until SIGTERM or SIGINT, or once.

    With `once`, return the number of newly recorded events by kind and raise DATABASE_AWAY; else return an
    empty counter.
    """
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
