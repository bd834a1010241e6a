"""Injects one random fault every few seconds, chosen by a seed."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter

from tests.faults.chaotic_sqs import EVERYTHING
from tests.faults.clusters import restart_immediately
from tests.soak.servers import Servers, Worker
from tests.step_mailing_worker.scripted_smtp import DROP

STOPPED_SECONDS = 8.0  # longer than the lease
SMTP = {
    "the server drops the connection at the banner": ("banner", DROP),
    "the server drops the connection at MAIL": ("MAIL", DROP),
    "the server drops the connection at RCPT": ("RCPT", DROP),
    "the server drops the connection before the body": ("DATA", DROP),
    "the server accepts the mail and drops the connection without a reply": ("dot", DROP),
    "the server defers the recipient": ("RCPT", "450 4.2.1 try later"),
    "the server defers the mail": ("dot", "451 4.3.0 try later"),
    "the server refuses the recipient": ("RCPT", "550 5.1.1 no such user"),
}
CHANCE = 0.1


class Faults:
    """Injects faults; `injected` counts them by kind, without those of the queue's proxy."""

    def __init__(self, servers: Servers, choice: random.Random) -> None:
        self._servers = servers
        self._random = choice
        self._ended = threading.Event()
        self.injected: Counter[str] = Counter()
        servers.chaos.chances = {fault: chance / 2 for fault, chance in EVERYTHING.items()}

    def inject(self) -> None:
        if self._ended.is_set():
            return
        kinds = {
            self._kill: 5,
            self._stop: 2,
            self._terminate: 2,
            self._break_smtp: 10,
            self._restart_postgres: 1,
            self._end_sessions: 2,
            self._lose_valkey: 1,
        }
        self._random.choices(list(kinds), list(kinds.values()))[0]()

    def end(self) -> None:
        self._ended.set()
        self._servers.chaos.rest()
        self._servers.smtp.once.clear()

    def _a_worker(self) -> Worker:
        return self._random.choice([worker for worker in self._servers.workers if not worker.steady])

    def _kill(self) -> None:
        self.injected["a worker is killed (SIGKILL)"] += 1
        self._servers.end_worker(self._a_worker(), signal.SIGKILL)
        self._servers.start_worker()

    def _terminate(self) -> None:
        self.injected["a worker is terminated (SIGTERM)"] += 1
        self._servers.end_worker(self._a_worker(), signal.SIGTERM)
        self._servers.start_worker()

    def _stop(self) -> None:
        """Pause a worker past its lease while the others continue."""
        self.injected["a worker is paused past its lease (SIGSTOP)"] += 1
        worker = self._a_worker()
        worker.process.send_signal(signal.SIGSTOP)
        self._ended.wait(STOPPED_SECONDS)
        worker.process.send_signal(signal.SIGCONT)

    def _break_smtp(self) -> None:
        kind = self._random.choice(list(SMTP))
        stage, what = SMTP[kind]
        self.injected[kind] += 1
        self._servers.smtp.once[stage] = what

    def _restart_postgres(self) -> None:
        self.injected["Postgres is restarted (immediate)"] += 1
        restart_immediately(self._servers.postgres)

    def _end_sessions(self) -> None:
        import psycopg

        self.injected["all sessions of Postgres are ended"] += 1
        with psycopg.connect(self._servers.postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = 'soak' AND pid <> pg_backend_pid()"
            )

    def _lose_valkey(self) -> None:
        self.injected["Valkey is killed and restarted empty"] += 1
        self._servers.kill_valkey()
        self._ended.wait(2)
        self._servers.start_valkey()
