"""Measures memory, file descriptors and connections of the processes, and checks that they do not grow."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from step_mailing_worker import mailbox_connections, quota_counters, sqs_consumer, store
from tests.soak.servers import Servers
from tests.soak.work import AWAY, MAILBOXES

WARM_UP_SECONDS = 60
GROWTH = 1.15
SPARE = {"memory_mb": 8.0, "descriptors": 12.0, "connections": 12.0}
# Maximum number of a worker's connections by peer; the other measures have the bound of GROWTH and SPARE.
MOST = {
    "to mail servers": mailbox_connections.CONNECTIONS_PER_MAILBOX * MAILBOXES,
    "to Postgres": store.SHARED_CONNECTIONS + store.OWN_CONNECTIONS,
    "to the queue": sqs_consumer.CALLS + 1,
    "to Valkey": quota_counters.CONNECTIONS,
}


class Resources:
    """Measures the worker that is never killed, the API and the sessions of Postgres."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._began = time.monotonic()
        self.seen: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)

    def measure(self) -> None:
        steady = next(worker for worker in self._servers.workers if worker.steady)
        processes = {"worker": steady.process.pid}
        if self._servers.api:
            processes["API"] = self._servers.api.pid
        for name, pid in processes.items():
            with suppress(OSError):
                self._note(name, "memory_mb", _resident(pid) / 2**20)
                self._note(name, "descriptors", len(list(Path(f"/proc/{pid}/fd").iterdir())))
        for peer, connections in self._connected(steady.process.pid).items():
            self._note("worker", peer, connections)
        with suppress(*AWAY), self._servers.connect() as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'soak'"
            ).fetchone()
            self._note("Postgres", "connections", float(str(row[0] if row else 0)))

    def summary(self) -> list[tuple[str, str, float, float, float]]:
        """Return per measure: process, name, medians of the first and last third after warm-up, maximum."""
        lines = []
        for (name, what), seen in self.seen.items():
            warm = [value for at, value in seen if at > WARM_UP_SECONDS] or [value for _, value in seen]
            third = max(1, len(warm) // 3)
            lines.append(
                (name, what, statistics.median(warm[:third]), statistics.median(warm[-third:]), max(warm))
            )
        return lines

    def flat(self) -> bool:
        return all(
            last <= (MOST[what] if what in MOST else first * GROWTH + SPARE[what])
            for _, what, first, last, _ in self.summary()
        )

    def _connected(self, pid: int) -> dict[str, int]:
        """Return the number of a process's connections by peer."""
        peers = {
            self._servers.smtp.port: "to mail servers",
            self._servers.postgres.port: "to Postgres",
            urlsplit(self._servers.chaos.url).port: "to the queue",
            self._servers.valkey_port: "to Valkey",
        }
        found = dict.fromkeys(MOST, 0)
        with suppress(psutil.Error):
            for one in psutil.Process(pid).net_connections("tcp"):
                if one.raddr and (peer := peers.get(one.raddr.port)):
                    found[peer] += 1
        return found

    def _note(self, name: str, what: str, value: float) -> None:
        self.seen[name, what].append((time.monotonic() - self._began, value))


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
