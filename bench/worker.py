"""Measures the worker, compared with a loop over the same SMTP library: `make bench ARGS="worker [PART…]"`.

Parts: `throughput` (1, 16 and 200 mailboxes), `processes` (one and two), `memory` (10,000 mails in flight)
and `timing` (sends spread over minutes). Postgres, a fast queue and a mail sink run as processes of their
own, on the same machine as the measured worker.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import migrations
from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.postgres import OWNER, Postgres
from local_stack.processes import end, launch, wait_ready, wait_until
from sequence_store.domain.messages import SendMessage
from sequence_store.postgres.connection import connect
from sequence_store.settings import OwnerSettings
from sequence_store.sqs import Outgoing, Queue, create_queues, sqs_client

PARTS = ("throughput", "processes", "memory", "timing")
MAILS = 2000
MAILBOXES = (1, 16, 200)
IN_FLIGHT = 10_000
LATE, HOLD_SECONDS = 100.0, 240.0
TIMED, TIMED_MINUTES = 2000, 10
CONNECTIONS_PER_MAILBOX = 3
MOST_CONNECTIONS = 96
ANSWER_SECONDS = 0.25  # an assumption for a server that checks a mail before it accepts it
CONTENT = (
    "<p>Dear {{ contact.name }},</p>\n" + "<p>Lorem ipsum dolor sit amet, consectetur adipiscing.</p>\n" * 20
)

FILL = """
INSERT INTO sequences (sequence_name) VALUES ('bench');
INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content)
    VALUES (1, 1, 'Hello {{ contact.name }}', %(content)s);
INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)
    SELECT 'box' || n || '@sender.example', 1000000, '00:00', '00:00'
    FROM generate_series(1, %(mailboxes)s) n;
INSERT INTO contacts (name, mail_address)
    SELECT 'Bob', 'c' || n || '@people.example' FROM generate_series(1, %(mails)s) n;
INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) SELECT 1, id, current_date FROM contacts;
"""
SENDS = """
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at,
    not_after, status)
SELECT 1, n, 1, 1, 1 + n %% %(mailboxes)s, current_date, current_date, current_date,
    %(first)s + (n - 1) * make_interval(secs => %(spread)s::float8 / %(mails)s),
    %(first)s + interval '1 day', 'dispatched'
FROM generate_series(1, %(mails)s) n RETURNING contact_id, mailbox_id, send_at, not_after
"""


@dataclass
class Measured:
    """One run of workers: the time of each accepted mail, and the CPU and memory used after the start."""

    by_contact: dict[int, float]
    cpu_seconds: float
    peak_bytes: int
    planned: dict[int, float] = field(default_factory=dict)
    held: int = 0  # the highest number of claimed mails
    requests: int = 0  # of the workers to their two queues

    @property
    def accepted(self) -> list[float]:
        return sorted(self.by_contact.values())

    @property
    def mails_per_second(self) -> float:
        """The rate over the middle nine tenths, without the start and the last mails."""
        count = len(self.accepted)
        low, high = count // 20, count - count // 20 - 1
        times = self.accepted
        return (high - low) / (times[high] - times[low])

    @property
    def cpu_per_mail(self) -> float:
        return self.cpu_seconds / len(self.accepted)


@dataclass
class Bench:
    """The servers that all parts share."""

    folder: Path
    postgres: Postgres
    sqs: str
    runs: int = 0

    def database(self, *, mailboxes: int, mails: int) -> str:
        self.runs += 1
        name = f"worker_{self.runs}"
        self.postgres.create_database(name)
        url = self.postgres.url(OWNER, name)
        passwords = {"sequence_worker": self.postgres.password("sequence_worker")}
        migrations.upgrade(url, role_passwords=passwords)
        with connect(url, name="bench", autocommit=True) as connection:
            for statement in FILL.split(";\n"):
                if statement.strip():
                    values = {"content": CONTENT, "mailboxes": mailboxes, "mails": mails}
                    connection.execute(statement.encode(), values)
            connection.execute("ANALYZE")
        return name

    def dispatch(
        self, name: str, queue: Queue, *, mailboxes: int, mails: int, spread: float, lead: float
    ) -> None:
        """Insert sends and enqueue their messages, due from `lead` seconds on and over `spread` seconds."""
        first = (datetime.now(UTC) + timedelta(seconds=lead)).replace(microsecond=0)
        values = {"first": first, "mailboxes": mailboxes, "mails": mails, "spread": spread}
        with connect(self.postgres.url(OWNER, name), name="bench", autocommit=True) as connection:
            rows = connection.execute(SENDS.encode(), values).fetchall()
        outgoing = [
            Outgoing(str(contact), _message(contact, mailbox, at, over),
                     max(0, min(900, int((at - datetime.now(UTC)).total_seconds()))))
            for contact, mailbox, at, over in rows
        ]  # fmt: skip
        assert sum(map(len, queue.send(outgoing))) == mails

    def measure(
        self,
        *,
        mailboxes: int,
        mails: int = MAILS,
        concurrency: int,
        processes: int = 1,
        spread: float = 0,
        lead: float = -1,
        answer_seconds: float = 0,
        until_held: bool = False,
    ) -> Measured:
        """Run workers until every mail is accepted or, if `until_held`, until nearly all are claimed."""
        name = self.database(mailboxes=mailboxes, mails=mails)
        settings = OwnerSettings(
            database_url=self.postgres.url(OWNER, name),
            aws_endpoint_url_sqs=self.sqs,
            sends_queue=f"sends-{name}",
            delivery_results_queue=f"results-{name}",
        )
        client = sqs_client(settings)
        create_queues(client, settings)
        queue = Queue.look_up(client, settings.sends_queue)
        self.dispatch(name, queue, mailboxes=mailboxes, mails=mails, spread=spread, lead=lead)
        names = (settings.sends_queue, settings.delivery_results_queue)
        before = sum(map(self.requests, names))
        with sink(self.folder, answer_seconds) as (port, accepted):
            workers = [self.start(name, settings, port, concurrency) for _ in range(processes)]
            log = self.folder / f"{name}.log"
            assert wait_until(lambda: log.read_text().count("event=started") == processes, 60)
            starting = sum(_cpu_seconds(worker) for worker in workers)
            try:
                held = self._hold(name, mails) if until_held else self._await(name, mails, spread + 600)
                peak = sum(_peak_bytes(worker.pid) for worker in workers)
            finally:
                used = [ended(worker) for worker in workers]
        times = accepted()
        client.close()
        requests = sum(map(self.requests, names)) - before
        return Measured(times, sum(used) - starting, peak, self.planned(name), held, requests)

    def requests(self, queue: str) -> int:
        """Return how many requests named the queue."""
        body = json.dumps({"QueueName": queue}).encode()
        request = urllib.request.Request(self.sqs, body, {"X-Amz-Target": "bench.CountRequests"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(json.load(answer)["Requests"])

    def start(
        self, name: str, settings: OwnerSettings, port: int, concurrency: int
    ) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "WORKER_DATABASE_URL": self.postgres.url("sequence_worker", name),
            "AWS_ENDPOINT_URL_SQS": self.sqs,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "SENDS_QUEUE": settings.sends_queue,
            "DELIVERY_RESULTS_QUEUE": settings.delivery_results_queue,
            "SMTP_PORT": str(port),
            "WORKER_CONCURRENCY": str(concurrency),
        }
        log = self.folder / f"{name}.log"
        return launch([sys.executable, "-m", "step_mailing_worker"], log=log, environment=environment)

    def _hold(self, name: str, mails: int) -> int:
        """Wait until the workers have claimed 99 % of the mails; return the highest number of claims."""
        most = 0
        with connect(self.postgres.url(OWNER, name), name="bench", autocommit=True) as connection:

            def nearly_all() -> bool:
                nonlocal most
                time.sleep(2)
                row = connection.execute(
                    "SELECT count(*) FROM sends WHERE status IN ('claimed', 'transmitting')"
                ).fetchone()
                most = max(most, row[0] if row else 0)
                return most >= 0.99 * mails

            wait_until(nearly_all, HOLD_SECONDS)
        return most

    def _await(self, name: str, mails: int, seconds: float) -> int:
        with connect(self.postgres.url(OWNER, name), name="bench", autocommit=True) as connection:

            def sent() -> bool:
                time.sleep(0.5)
                row = connection.execute("SELECT count(*) FROM sends WHERE status = 'sent'").fetchone()
                return row is not None and row[0] == mails

            assert wait_until(sent, seconds), "not all mails were sent"
        return 0

    def planned(self, name: str) -> dict[int, float]:
        with connect(self.postgres.url(OWNER, name), name="bench") as connection:
            rows = connection.execute("SELECT contact_id, extract(epoch FROM send_at)::float8 FROM sends")
            return dict(rows.fetchall())


def _message(contact: int, mailbox: int, at: datetime, over: datetime) -> str:
    return SendMessage(
        sequence_id=1,
        contact_id=contact,
        sequence_step_id=1,
        round=1,
        attempt=1,
        mailbox_id=mailbox,
        send_at=at,
        not_after=over,
        environment="local",
    ).model_dump_json()


def ended(process: subprocess.Popen[bytes]) -> float:
    """Stop a worker; return the CPU seconds that it used."""
    used = _cpu_seconds(process)
    end(process, seconds=30)
    return used


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def sink(folder: Path, answer_seconds: float = 0) -> Iterator[tuple[int, Callable[[], dict[int, float]]]]:
    """Run the sink; yield its port, and a function that stops it and returns each contact's mail time."""
    port, file = free_port(), folder / f"accepted-{time.monotonic_ns()}"
    program = str(Path(__file__).with_name("smtp_sink.py"))
    command = [sys.executable, program, str(port), str(file), str(answer_seconds)]
    process = launch(command, log=folder / "sink.log")
    wait_ready(process, lambda: answers(port), log=folder / "sink.log", seconds=20)

    def accepted() -> dict[int, float]:
        end(process, stop_signal=signal.SIGTERM)
        times = array("d")
        times.frombytes(file.read_bytes())
        return {int(number): at for at, number in zip(times[::2], times[1::2], strict=True)}

    try:
        yield port, accepted
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def bare(folder: Path, *, connections: int, mails: int, answer_seconds: float = 0) -> tuple[float, float]:
    """Return mails per second and CPU seconds per mail of the loop without the product."""
    content = folder / "content"
    content.write_bytes(b"Subject: Hello\r\n\r\n" + b"Lorem ipsum dolor sit amet.\r\n" * 100)
    program = str(Path(__file__).with_name("bare_smtp.py"))
    with sink(folder, answer_seconds) as (port, _):
        command = [sys.executable, program, str(port), str(connections), str(mails), str(content)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, cpu = map(float, out.split())
    return mails / seconds, cpu / mails


def postfix(folder: Path, *, connections: int, mails: int) -> float | None:
    """Return mails per second of Postfix's smtp-source with the same sink, or None if it is not installed."""
    source = shutil.which("smtp-source", path=f"{os.environ['PATH']}:/usr/sbin")
    if not source:
        return None
    with sink(folder) as (port, _):
        began = time.perf_counter()
        command = [source, "-s", str(connections), "-m", str(mails), "-l", "2800",
                   "-t", "c0@people.example", "-d", f"{LOOPBACK}:{port}"]  # fmt: skip
        subprocess.run(command, capture_output=True, check=True)
        return mails / (time.perf_counter() - began)


def throughput(bench: Bench) -> list[dict[str, float]]:
    """Compare with the loop, with a server that replies at once and with a slow one."""
    return [
        _compared(bench, mailboxes, answer_seconds)
        for answer_seconds in (0.0, ANSWER_SECONDS)
        for mailboxes in MAILBOXES
    ]


def _compared(bench: Bench, mailboxes: int, answer_seconds: float) -> dict[str, float]:
    connections = min(CONNECTIONS_PER_MAILBOX * mailboxes, MOST_CONNECTIONS)
    mails = min(MAILS, 500) if answer_seconds and mailboxes == 1 else MAILS
    measured = bench.measure(
        mailboxes=mailboxes, mails=mails, concurrency=max(16, connections), answer_seconds=answer_seconds
    )
    limit, limit_cpu = bare(bench.folder, connections=connections, mails=mails, answer_seconds=answer_seconds)
    row = {
        "mailboxes": mailboxes,
        "answer_seconds": answer_seconds,
        "connections": connections,
        "mails_per_second": measured.mails_per_second,
        "bare_per_second": limit,
        "ratio": measured.mails_per_second / limit,
        "cpu_ms_a_mail": 1000 * measured.cpu_per_mail,
        "bare_cpu_ms_a_mail": 1000 * limit_cpu,
        "sqs_requests_a_mail": measured.requests / mails,
    }
    if not answer_seconds and (source := postfix(bench.folder, connections=connections, mails=mails)):
        row["smtp_source_per_second"] = source
    _print(row)
    return row


def _print(row: dict[str, float]) -> None:
    print(json.dumps({name: round(value, 3) for name, value in row.items()}), flush=True)


def processes(bench: Bench) -> list[dict[str, float]]:
    rows = []
    for count in (1, 2):
        measured = bench.measure(mailboxes=16, concurrency=48, processes=count)
        rows.append({"processes": count, "mails_per_second": measured.mails_per_second})
        _print(rows[-1])
    return rows


def memory(bench: Bench) -> dict[str, float]:
    """Claim many mails in one process, where they wait for a connection to a slow server."""
    few = bench.measure(mailboxes=200, mails=200, concurrency=200, answer_seconds=LATE, until_held=True)
    many = bench.measure(
        mailboxes=200, mails=IN_FLIGHT, concurrency=IN_FLIGHT, answer_seconds=LATE, until_held=True
    )
    found = {"few_mb": few.peak_bytes / 2**20, "many_mb": many.peak_bytes / 2**20, "held": many.held}
    found["kb_a_mail"] = (many.peak_bytes - few.peak_bytes) / (many.held - few.held) / 1024
    _print(found)
    return found


def timing(bench: Bench, mails: int = TIMED, minutes: float = TIMED_MINUTES) -> dict[str, float]:
    """Spread sends over minutes; return the lateness of their acceptance in seconds (negative if early)."""
    measured = bench.measure(mailboxes=200, mails=mails, concurrency=64, spread=60 * minutes, lead=15)
    late = sorted(measured.by_contact[contact] - at for contact, at in measured.planned.items())
    found = {
        "median_s": statistics.median(late),
        "p99_s": late[int(0.99 * len(late))],
        "latest_s": late[-1],
        "earliest_s": late[0],
    }
    _print(found)
    return found


@contextmanager
def servers() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        postgres = Postgres(folder / "postgres", free_port(), settings={"max_connections": "100"})
        postgres.start()
        program = str(Path(__file__).with_name("quick_sqs.py"))
        queues = launch([sys.executable, program, str(port)], log=folder / "sqs.log")
        os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        try:
            postgres.create_owner()
            wait_ready(queues, lambda: answers(port), log=folder / "sqs.log", seconds=60)
            yield Bench(folder, postgres, f"http://{LOOPBACK}:{port}")
        finally:
            end(queues)
            postgres.stop()


def run(parts: Sequence[str] = PARTS) -> dict[str, object]:
    """Measure the given parts; return their figures."""
    kinds = {"throughput": throughput, "processes": processes, "memory": memory, "timing": timing}
    with servers() as bench:
        return {part: kinds[part](bench) for part in parts}
