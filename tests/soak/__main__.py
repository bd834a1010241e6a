"""Runs the product under faults every few seconds and accounts for every mail: `make soak MINUTES=10`.

Postgres, Valkey, the API, the workers and moto's SQS are real processes; a proxy in front of SQS injects
faults that Amazon SQS may show. One thread each calls the functions of Dagster's jobs (plan, dispatch,
results, reconciliation) every few seconds, because the daemon would start them only every half minute.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.soak.account import account, print_account
from tests.soak.faults import Faults
from tests.soak.resources import Resources
from tests.soak.servers import servers
from tests.soak.traffic import Traffic
from tests.soak.work import Work

QUIET_SECONDS = 150


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "10")))
    parser.add_argument("--rate", type=float, default=4, help="mails per second (default 4)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        servers(Path(name), arguments.seed) as running,
    ):
        work = Work(running, minutes=arguments.minutes, mails=round(arguments.rate * 60 * arguments.minutes))
        work.prepare()
        running.start_worker(steady=True)
        for _ in range(2):
            running.start_worker()
        faults, traffic = (
            Faults(running, random.Random(arguments.seed)),
            Traffic(running, random.Random(arguments.seed)),
        )
        resources = Resources(running)
        stop = threading.Event()
        began = time.monotonic()
        threads = [
            threading.Thread(target=_every, args=(seconds, stop, job))
            for seconds, job in (
                *work.jobs(),
                (3.0, faults.inject),
                (0.5, traffic.request),
                (5.0, resources.measure),
            )
        ]
        for thread in threads:
            thread.start()
        _wait(began + arguments.minutes * 60, work)
        faults.end()
        traffic.end()
        quiet = work.wait_until_quiet(QUIET_SECONDS)
        stop.set()
        for thread in threads:
            thread.join(30)
        work.finish()
        found = account(running, quiet=quiet)
        print_account(
            found, faults.injected + Counter(dict(running.chaos.injected)), traffic.done, resources, work
        )
        return 0 if found.in_order and resources.flat() else 1


def _every(seconds: float, stop: threading.Event, job: Callable[[], None]) -> None:
    while not stop.wait(seconds):
        job()


def _wait(until: float, work: Work) -> None:
    while time.monotonic() < until:
        time.sleep(min(30, max(0.1, until - time.monotonic())))
        print(f"{until - time.monotonic():5.0f} s left: {work.statuses()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
