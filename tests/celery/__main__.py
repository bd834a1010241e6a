"""Tests Dagster's runs on two Celery workers: `make trial NAME=celery-backfill` and `NAME=celery-killed`.

`backfill` starts the local stack twice, with the project's launcher and with `deploy/dagster.celery.yaml`,
and backfills thirty days in each; `one` and `two` are its halves. `killed` sends SIGKILL to the worker that
executes a run, as a lost machine would: in the middle of the planner's transaction, and between the messages
of a dispatch and the update of their sends. Exits with status 0 only if the plans are equal, and every
contact was mailed once and advanced.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import valkey

from local_stack import stack
from local_stack.ports import free_port
from local_stack.variables import PREFERRED_PORTS
from sequence_cli.dagster_runs import LOCATION, DagsterRuns

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DAYS = 30
CONTACTS = 20  # due per day
KILLED_CONTACTS = 300
MINUTES = int(os.environ.get("MINUTES", "12"))  # until the planning day ends, so its mails are sent soon
_BACKFILL = """mutation B($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_STATUS = """query S($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status } } }"""
_INSERT_TEAM = """
INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)
SELECT format('sender%%s@example.com', n), 100000, '00:00', '00:00' FROM generate_series(1, 5) n;
INSERT INTO sequences (sequence_name) VALUES ('Celery');
INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content, delay_days)
SELECT id, n, format('Step %%s', n), 'Hello {{{{ contact.name }}}}', 3 * (n - 1)
FROM sequences, generate_series(1, 2) n;
INSERT INTO sequences_mailboxes SELECT s.id, m.id FROM sequences s, mailboxes m;
INSERT INTO contacts (name, mail_address)
SELECT format('Contact %%s', n), format('contact%%s@example.net', n) FROM generate_series(1, {contacts}) n;
INSERT INTO sequences_contacts (sequence_id, contact_id, next_send)
SELECT s.id, c.id, %(today)s::date - (c.id %% {days})::int FROM sequences s, contacts c
"""


@dataclass
class Machine:
    """A running local stack with one of the two launchers."""

    root: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        return stack.environment(self.root)

    @contextmanager
    def database(self, which: str = "DATABASE_URL") -> Iterator[psycopg.Connection[Any]]:
        url = self.variables[which].replace("+psycopg2", "")
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection

    def query(self, query: str, **values: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": values}).encode()
        url = self.variables["DAGSTER_URL"] + "/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            found: dict[str, Any] = json.load(response)
        if found.get("errors"):
            raise SystemExit(found["errors"][0]["message"])
        return found["data"]

    def runs(self, job: str) -> list[tuple[str, str, float]]:
        """Return id, status and seconds of the job's runs, oldest first."""
        with self.database("DAGSTER_DATABASE_URL") as connection:
            return connection.execute(
                "SELECT run_id, status, coalesce(end_time - start_time, 0) FROM runs "
                "WHERE pipeline_name = %s ORDER BY id",
                [job],
            ).fetchall()


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {text}", flush=True)


def wait_for(what: str, holds: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.1)
    raise SystemExit(f"Timeout after {seconds:.0f} s: {what}.")


@contextmanager
def machine(
    folder: Path, *, workers: int, instance: Path | None = None, **settings: str
) -> Iterator[Machine]:
    """Start the stack in `folder` with `workers` Celery workers, or with the project's launcher if 0.

    `instance` is another dagster.yaml to use.
    """
    folder.mkdir()
    instance = instance or ROOT / "deploy" / ("dagster.celery.yaml" if workers else "dagster.yaml")
    (folder / "deploy").mkdir()
    shutil.copy(instance, folder / "deploy" / "dagster.yaml")
    shutil.copy(ROOT / "dagster.yaml", folder)
    shutil.copy(ROOT / "workspace.yaml", folder)
    (folder / ".local").mkdir()
    ports = {}
    for name in PREFERRED_PORTS:
        ports[name] = free_port(avoid=ports.values())
    (folder / ".local" / "ports.json").write_text(json.dumps(ports))
    broker = f"redis://127.0.0.1:{ports['valkey']}"
    os.environ |= {
        "CELERY_BROKER_URL": f"{broker}/1",
        "CELERY_RESULT_BACKEND": f"{broker}/2",
        "PLAN_AT": f"{datetime.now(UTC) + timedelta(minutes=MINUTES):%H:%M}",
        "PLAN_LEAD_SECONDS": "20",
        "FIRST_PLANNING_DAY": f"{datetime.now(UTC) - timedelta(days=2 * DAYS):%Y-%m-%d}",
        **settings,
    }
    found = Machine(folder)
    stack.up_detached(folder)
    try:
        for n in range(workers):
            start_worker(found, f"run{n}")
        yield found
    finally:
        for worker in found.workers:
            worker.terminate()
        for worker in found.workers:
            worker.wait(60)
        stack.down(folder)


def start_worker(at: Machine, name: str) -> None:
    command = [str(BIN / "celery"), "--app", "dagster_celery.app", "worker", "--hostname", f"{name}@%h"]
    options = [
        "--concurrency",
        "2",
        "--prefetch-multiplier",
        "1",
        "--queues",
        "dagster",
        "--loglevel",
        "INFO",
    ]
    log = (at.root / f"{name}.log").open("wb")
    environment = os.environ | at.variables
    at.workers.append(
        subprocess.Popen(
            [*command, *options],
            cwd=at.root,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    )
    wait_for(f"{name} is ready", lambda: b" ready." in (at.root / f"{name}.log").read_bytes(), 120)


def today(at: Machine) -> datetime:
    plan_at = datetime.strptime(os.environ["PLAN_AT"], "%H:%M").time()  # noqa: DTZ007
    now = datetime.now(UTC)
    return now if now.time() >= plan_at else now - timedelta(days=1)


def insert_team(at: Machine, contacts: int = DAYS * CONTACTS) -> None:
    with at.database() as connection:
        for statement in _INSERT_TEAM.format(contacts=contacts, days=DAYS).split(";\n"):
            values = {"today": today(at).date()} if "%(today)s" in statement else None
            query = statement if values else statement.replace("%%", "%")
            connection.execute(query.encode(), values)


def backfill(at: Machine) -> float:
    """Backfill the plans of the last thirty days; return the seconds."""
    selector = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
    days = [f"{today(at).date() - timedelta(days=n)}" for n in range(DAYS)]
    params = {
        "selector": {"partitionSetName": "daily_plan_partition_set", "repositorySelector": selector},
        "partitionNames": days,
    }
    began = time.monotonic()
    launched = at.query(_BACKFILL, params=params)["launchPartitionBackfill"]
    if launched["__typename"] != "LaunchBackfillSuccess":
        raise SystemExit(f"The backfill was not launched: {launched}")

    def ended() -> str | None:
        status: str = at.query(_STATUS, id=launched["backfillId"])["partitionBackfillOrError"]["status"]
        return status if status not in {"REQUESTED", "CANCELING"} else None

    status = wait_for("the backfill has ended", ended, 900)
    seconds = time.monotonic() - began
    if status not in {"COMPLETED", "COMPLETED_SUCCESS"}:
        raise SystemExit(f"The backfill ended with status {status}.")
    return seconds


def planned(at: Machine) -> list[tuple[Any, ...]]:
    """Return the plan without its times, which depend on the hour of the plan."""
    with at.database() as connection:
        return connection.execute(
            "SELECT sequence_id, contact_id, step_id, round, mailbox_id, due_day FROM sends ORDER BY 1, 2, 3"
        ).fetchall()


def mailed(at: Machine) -> tuple[int, int, int]:
    """Return the numbers of sent, of advanced and of unfinished sends."""
    with at.database() as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE status = 'sent'), "
            "count(*) FILTER (WHERE advanced_at IS NOT NULL), "
            "count(*) FILTER (WHERE status NOT IN ('sent', 'expired', 'cancelled')) FROM sends"
        ).fetchone()
    return row or (0, 0, 0)


def whole_day(at: Machine, sends: int) -> None:
    """Wait until every send is sent and has advanced its contact, and compare with the mail sink."""
    wait_for("every contact is mailed and advanced", lambda: mailed(at)[:2] == (sends, sends), 60 * MINUTES)
    with urllib.request.urlopen(at.variables["MAIL_SINK_URL"] + "/api/messages", timeout=60) as response:
        got = Counter(mail["rcpt_to"][0] for mail in json.load(response))
    twice = sum(1 for n in got.values() if n > 1)
    say(f"{sends} sent and advanced; the sink has {sum(got.values())} mails to {len(got)} contacts")
    if twice or len(got) != sends:
        raise SystemExit(f"WRONG: {twice} contacts mailed more than once, {sends - len(got)} not at all.")


def print_runs(at: Machine) -> None:
    for job in ("daily_plan", "timed_dispatch", "apply_delivery_results"):
        runs = at.runs(job)
        done = [seconds for _, status, seconds in runs if status == "SUCCESS"]
        if done:
            say(f"{job}: {len(done)} of {len(runs)} runs succeeded, {sum(done) / len(done):.1f} s on average")
    for n in range(len(at.workers)):
        ended = (at.root / f"run{n}.log").read_text().count("succeeded in")
        say(f"run{n}: {ended} runs")


def find_executor(at: Machine, job: str, known: Sequence[str]) -> tuple[str, str] | None:
    """Return a started run of the job that is not in `known`, and the Celery worker that executes it."""
    with at.database("DAGSTER_DATABASE_URL") as connection:
        row = connection.execute(
            "SELECT r.run_id, t.value FROM runs r JOIN run_tags t USING (run_id) WHERE r.pipeline_name = %s "
            "AND r.status = 'STARTED' AND t.key = 'dagster-celery/task_id' AND r.run_id <> ALL(%s)",
            [job, list(known)],
        ).fetchone()
    if row is None:
        return None
    meta = valkey.Valkey.from_url(os.environ["CELERY_RESULT_BACKEND"].replace("redis://", "valkey://")).get(
        f"celery-task-meta-{row[1]}"
    )
    worker = (json.loads(meta or "{}").get("result") or {}).get("hostname", "")
    return (row[0], worker.partition("@")[0]) if worker else None


def kill_during(at: Machine, job: str, start: Callable[[], object]) -> None:
    """Start the job, and kill its worker while the job waits for its first write to `sends`."""
    known = [run for run, *_ in at.runs(job)]
    with at.database() as connection, connection.transaction():
        connection.execute("LOCK TABLE sends IN SHARE MODE")  # the job can read, but waits at its first write
        start()
        run, name = wait_for(f"{job} has started", lambda: find_executor(at, job, known), 120)
        with at.database() as look:
            wait_for(
                f"{job} waits for the lock",
                lambda: look.execute(
                    "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted "
                    "AND relation = 'sends'::regclass AND usename = 'sequence_pipeline'"
                ).fetchone(),
                180,
            )
        victim = at.workers[int(name.removeprefix("run"))]
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        began = time.monotonic()
        say(f"killed {name} during {job}")
        time.sleep(1)  # until its connections are closed
    wait_for(f"run {run} is marked as failed", lambda: (run, "FAILURE") in [r[:2] for r in at.runs(job)], 180)
    lost = time.monotonic() - began
    wait_for(
        f"{job} has run again",
        lambda: any(r not in {*known, run} and status == "SUCCESS" for r, status, _ in at.runs(job)),
        240,
    )
    say(f"{job}: marked as failed after {lost:.0f} s, finished again after {time.monotonic() - began:.0f} s")


def thirty_days(folder: Path, workers: int) -> tuple[float, list[tuple[Any, ...]]]:
    """Backfill thirty days, wait for their mails, and return the seconds of the backfill and its plan."""
    with machine(folder / f"backfill{workers}", workers=workers) as at:
        insert_team(at)
        seconds, plan = backfill(at), planned(at)
        digest = hashlib.sha256(repr(plan).encode()).hexdigest()[:12]
        name = f"{workers} Celery workers" if workers else "one machine"
        say(f"{name}: {DAYS} days in {seconds:.0f} s, {len(plan)} planned ({digest})")
        whole_day(at, DAYS * CONTACTS)
        print_runs(at)
    return seconds, plan


def against_one_machine(folder: Path) -> None:
    alone, one = thirty_days(folder, 0)
    together, two = thirty_days(folder, 2)
    if one != two or len(one) != DAYS * CONTACTS:
        raise SystemExit(f"WRONG: the plans differ in {len(set(one) ^ set(two))} rows.")
    say(f"the plans are equal: {len(one)} rows; Celery took {together / alone:.2f} x the time")


def with_killed_workers(folder: Path) -> None:
    with machine(folder / "killed", workers=2, DISPATCH_AHEAD_SECONDS="120") as at:
        insert_team(at, KILLED_CONTACTS)
        runs, day = DagsterRuns(at.variables["DAGSTER_URL"]), today(at).date().isoformat()
        kill_during(at, "daily_plan", lambda: runs.launch("daily_plan", day))
        start_worker(at, f"run{len(at.workers)}")
        kill_during(at, "timed_dispatch", lambda: runs.launch("timed_dispatch", day))
        whole_day(at, KILLED_CONTACTS)
        print_runs(at)


PARTS = {
    "backfill": against_one_machine,
    "one": lambda folder: thirty_days(folder, 0),
    "two": lambda folder: thirty_days(folder, 2),
    "killed": with_killed_workers,
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or ("backfill", "killed"):
            PARTS[name](Path(folder))
    say("passed")


if __name__ == "__main__":
    main()
