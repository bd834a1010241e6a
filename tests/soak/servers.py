"""Starts the servers of a soak: Postgres, SQS behind a proxy, Valkey, SMTP, the API and workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import psycopg

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.postgres import Postgres
from local_stack.processes import end, launch, wait_ready
from local_stack.programs import valkey_binary
from sequence_pipelines.resources.sqs import Queues
from sequence_store.postgres.connection import connect
from sequence_store.settings import OwnerSettings, PipelineSettings
from sequence_store.sqs import Queue, create_queues, sqs_client
from tests.conftest import AWS, ROLES, Mail
from tests.faults.chaotic_sqs import ChaoticSqs, chaotic_sqs
from tests.faults.clusters import served, with_template
from tests.step_mailing_worker.scripted_smtp import DROP, ScriptedSmtp

BIN = Path(sys.executable).parent
DATABASE = "soak"
BOUNDS = {
    "CLAIM_LEASE_SECONDS": "6",
    "SMTP_TIMEOUT_SECONDS": "4",
    "SMTP_FINAL_DOT_SECONDS": "6",
    "SOFT_FAILURE_RETRY_SECONDS": "5",
    "PARK_SECONDS": "15",
    "TRANSMITTING_BOUND_SECONDS": "25",
    "VANISHED_AFTER_SECONDS": "15",
    "DISPATCH_AHEAD_SECONDS": "20",
    "PLAN_LEAD_SECONDS": "5",
    "PLAN_AT": "00:00",
    "WORKER_CONCURRENCY": "16",
    "API_RATE_LIMIT_PER_MINUTE": "0",
}
VISIBILITY_SECONDS = 12


class BreakingSmtp(ScriptedSmtp):
    """Records every mail whose final dot arrived, unless its reply refuses the mail."""

    def __post_init__(self) -> None:
        self.taken: list[Mail] = []
        super().__post_init__()

    def _take(self, peer: socket.socket, lines: BinaryIO) -> None:
        content = bytearray()
        for line in lines:
            if line == b".\r\n":
                break
            content += line
        else:
            return  # the client closed the connection
        reply = self.once.pop("dot", None)
        if reply and reply != DROP:
            peer.sendall(reply.encode() + b"\r\n")
            return
        self.mails.append(bytes(content))
        self.taken.append(Mail("", [], bytes(content), datetime.now(UTC)))
        if reply == DROP:
            self._break(DROP)
        self._answer(peer, "dot")


@dataclass
class Worker:
    """One worker process, which only `Servers` ends."""

    process: subprocess.Popen[bytes]
    steady: bool


@dataclass
class Servers:
    """All running servers; `environment` holds the variables for the product's programs."""

    folder: Path
    postgres: Postgres
    chaos: ChaoticSqs
    smtp: BreakingSmtp
    valkey_port: int
    api_port: int
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)
    valkey: subprocess.Popen[bytes] | None = None
    api: subprocess.Popen[bytes] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def pipeline(self) -> PipelineSettings:
        return PipelineSettings(**{name.lower(): value for name, value in self.environment.items()})

    @property
    def owner_url(self) -> str:
        return self.environment["DATABASE_URL"]

    def queues(self) -> Queues:
        return Queues(self.pipeline)

    def waiting(self) -> int:
        """Return the number of visible, hidden and delayed messages in both queues."""
        both = (self.queues().sends(), self.queues().delivery_results())
        return sum(count for queue in both for kind, count in queue.counts().items() if kind != "dead")

    def dead_letters(self, queue: Queue) -> list[str]:
        """Return the bodies of a queue's dead letters; each is returned once."""
        bodies = []
        while messages := queue.client.receive_message(
            QueueUrl=queue.dead_letter_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
        ).get("Messages"):
            bodies += [message["Body"] for message in messages]
        return bodies

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return connect(self.owner_url, name="soak", autocommit=True)

    def start_worker(self, *, steady: bool = False) -> Worker:
        process = launch(
            [str(BIN / "sequences"), "worker"],
            log=self.folder / "worker.log",
            environment=self.environment,
        )
        worker = Worker(process, steady)
        with self.lock:
            self.workers.append(worker)
        return worker

    def end_worker(self, worker: Worker, how: int) -> None:
        with self.lock:
            self.workers.remove(worker)
        worker.process.send_signal(signal.SIGCONT)
        worker.process.send_signal(how)
        worker.process.wait(60)

    def start_valkey(self) -> None:
        command = [str(valkey_binary()), "--port", str(self.valkey_port), "--bind", LOOPBACK, "--save", ""]
        log = self.folder / "valkey.log"
        self.valkey = launch([*command, "--dir", str(self.folder)], log=log)
        wait_ready(self.valkey, lambda: answers(self.valkey_port), log=log, seconds=20)

    def kill_valkey(self) -> None:
        if self.valkey:
            self.valkey.kill()
            self.valkey.wait(10)
            self.valkey = None

    def start_api(self) -> None:
        log = self.folder / "api.log"
        self.api = launch([str(BIN / "sequences"), "api"], log=log, environment=self.environment)
        wait_ready(self.api, self.api_ready, log=log, seconds=60)

    def api_ready(self) -> bool:
        with suppress(OSError):
            return bool(urllib.request.urlopen(self.url("/readyz"), timeout=5).status == 200)
        return False

    def url(self, path: str) -> str:
        return f"http://{LOOPBACK}:{self.api_port}{path}"

    def stop(self) -> None:
        for worker in list(self.workers):
            worker.process.send_signal(signal.SIGCONT)
            end(worker.process, seconds=30)
        if self.api:
            end(self.api)
        self.kill_valkey()


@contextmanager
def servers(folder: Path, seed: int) -> Iterator[Servers]:
    os.environ |= AWS
    with ExitStack() as stack:
        postgres = stack.enter_context(served(folder / "postgres", max_connections="100"))
        postgres.create_database(DATABASE, template=with_template(postgres))
        sqs_port, api_port, valkey_port = free_port(), free_port(), free_port()
        sqs_log = folder / "sqs.log"
        moto = launch([str(BIN / "moto_server"), "-H", LOOPBACK, "-p", str(sqs_port)], log=sqs_log)
        stack.callback(end, moto)
        wait_ready(moto, lambda: answers(sqs_port), log=sqs_log, seconds=60)
        chaos = stack.enter_context(chaotic_sqs(f"http://{LOOPBACK}:{sqs_port}", seed=seed))
        smtp = BreakingSmtp()
        stack.callback(smtp.close)
        urls = {f"{role.upper()}_DATABASE_URL": postgres.url(f"sequence_{role}", DATABASE) for role in ROLES}
        environment = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
            **AWS,
            **BOUNDS,
            **urls,
            "DATABASE_URL": postgres.url("sequence_owner", DATABASE),
            "AWS_ENDPOINT_URL_SQS": chaos.url,
            "SMTP_HOST": LOOPBACK,
            "SMTP_PORT": str(smtp.port),
            "VALKEY_URL": f"valkey://{LOOPBACK}:{valkey_port}/0",
            "API_PORT": str(api_port),
            "PUBLIC_URL": f"http://{LOOPBACK}:{api_port}",
            "ASSET_STORE": str(folder / "assets"),
        }
        owner = OwnerSettings(**{name.lower(): value for name, value in environment.items()})
        client = sqs_client(owner)
        create_queues(client, owner, visibility_seconds=VISIBILITY_SECONDS)
        client.close()
        found = Servers(folder, postgres, chaos, smtp, valkey_port, api_port, environment)
        stack.callback(found.stop)
        found.start_valkey()
        found.start_api()
        yield found
