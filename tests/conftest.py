"""Fixtures with real servers: one Postgres and one SQS per session, one database and two queues per test."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from mypy_boto3_sqs.client import SQSClient
from psycopg.rows import TupleRow

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.postgres import OWNER, Postgres
from local_stack.processes import end, launch, wait_ready, wait_until
from sequence_store.postgres.connection import connect
from sequence_store.settings import (
    ApiSettings,
    ObserverSettings,
    OwnerSettings,
    PipelineSettings,
    WorkerSettings,
)
from sequence_store.sqs import Queue, create_queues, sqs_client

Role = Literal["owner", "api", "pipeline", "worker", "readonly"]
ROLES = ("api", "pipeline", "worker", "readonly")
TEMPLATE = "sequences_template"
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
NOWHERE = "http://127.0.0.1:9"


# Files that take longest, mostly waiting. They begin first, so that none of them is left alone at the end.
LONGEST = (
    "tests/end_to_end/test_day.py",
    "tests/crud_api/test_schemathesis.py",
    "tests/step_mailing_worker/test_breaks.py",
    "tests/pipelines/test_assets.py",
    "tests/faults/test_crash_matrix.py",
    "tests/step_mailing_worker/test_mailbox_reader.py",
    "tests/pipelines/test_code_location_health.py",
    "tests/sequence_store/test_addresses.py",
    "tests/pipelines/test_forecast.py",
    "tests/faults/test_chaotic_queue.py",
    "tests/crud_api/test_slow_clients.py",
    "tests/local_stack/test_supervisor.py",
    "tests/local_stack/test_two_stacks.py",
    "tests/faults/test_postgres_lost.py",
    "tests/pipelines/test_chain_model.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of LONGEST to the front; the order of all others stays."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def own_stack_is_not_seen() -> Iterator[None]:
    """Keep commands that tests run in this process from attaching to a stack in the project's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sequence_cli.main.read_env_file", lambda _: {})
        yield


@pytest.fixture(scope="session", autouse=True)
def bare_environment() -> Iterator[None]:
    """Remove the developer's settings and credentials from the environment, also for started programs."""
    kinds = (OwnerSettings, ObserverSettings, PipelineSettings, ApiSettings, WorkerSettings)
    ours = {name.upper() for kind in kinds for name in kind.model_fields}
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            known = name.startswith(("AWS_", "PG", "DAGSTER_")) and name != "PG_BIN"
            if known or name.upper() in ours or name.upper().endswith("_PROXY"):
                patch.delenv(name)
        for name, value in AWS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Start one cluster for the session, with the owner's role."""
    cluster = Postgres(tmp_path_factory.mktemp("postgres"), free_port(), settings=QUICK)
    cluster.start()
    try:
        cluster.create_owner()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(cluster.folder)


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """Return the name of a migrated database, which each test copies."""
    import migrations

    postgres.create_database(TEMPLATE)
    passwords = {f"sequence_{role}": postgres.password(f"sequence_{role}") for role in ROLES}
    migrations.upgrade(postgres.url(OWNER, TEMPLATE), role_passwords=passwords)
    return TEMPLATE


@dataclass(frozen=True)
class Database:
    """The database of one test: its name, and its URL for each role."""

    name: str
    owner: str
    api: str
    pipeline: str
    worker: str
    readonly: str

    def connect(self, role: Role = "owner", *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
        """Open a connection; a `with` block commits and closes it."""
        return connect(getattr(self, role), name=f"test_{role}", autocommit=autocommit)


_numbers = itertools.count(1)


@pytest.fixture
def database(postgres: Postgres, template: str) -> Iterator[Database]:
    """Copy the template for one test; drop the copy afterwards, even if sessions are open."""
    name = f"test_{next(_numbers)}"
    postgres.create_database(name, template=template)
    urls = {role: postgres.url(f"sequence_{role}", name) for role in ("owner", *ROLES)}
    try:
        yield Database(name=name, **urls)
    finally:
        postgres.drop_database(name)


@pytest.fixture
def empty_database(postgres: Postgres, template: str) -> Iterator[str]:
    """Yield the owner's URL of an empty database, for the tests of migrations.

    The cluster's roles exist already, with their passwords, because `template` creates them.
    """
    name = f"empty_{next(_numbers)}"
    postgres.create_database(name)
    try:
        yield postgres.url(OWNER, name)
    finally:
        postgres.drop_database(name)


@dataclass(frozen=True)
class Services:
    """The settings of each program, for one test's database and queues."""

    owner: OwnerSettings
    pipeline: PipelineSettings
    api: ApiSettings
    worker: WorkerSettings


class MakeSettings(Protocol):
    """Builds Services; keyword arguments are settings of all programs (`plan_at=time(5)`)."""

    def __call__(self, **changes: Any) -> Services: ...


def _settings_of(database: Database, shared: dict[str, Any]) -> Services:
    return Services(
        owner=OwnerSettings(
            database_url=database.owner,
            api_database_url=database.api,
            pipeline_database_url=database.pipeline,
            worker_database_url=database.worker,
            readonly_database_url=database.readonly,
            **shared,
        ),
        pipeline=PipelineSettings(pipeline_database_url=database.pipeline, **shared),
        api=ApiSettings(api_database_url=database.api, **shared),
        worker=WorkerSettings(worker_database_url=database.worker, **shared),
    )


@pytest.fixture
def make_settings(database: Database, tmp_path: Path) -> MakeSettings:
    """Return a function that builds this test's settings; the queues exist only with the fixture `queues`."""
    names = {"sends_queue": f"sends-{uuid4().hex}", "delivery_results_queue": f"results-{uuid4().hex}"}
    defaults = {"aws_endpoint_url_sqs": NOWHERE, "asset_store": str(tmp_path / "assets"), **names}

    def make(**changes: Any) -> Services:
        return _settings_of(database, defaults | changes)

    return make


@pytest.fixture
def settings(make_settings: MakeSettings) -> Services:
    return make_settings()


@pytest.fixture(scope="session")
def sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start SQS for the session; yield its endpoint. SQS_OF_TESTS names another server (a trial)."""
    if other := os.environ.get("SQS_OF_TESTS"):
        yield other
        return
    port = free_port()
    log = tmp_path_factory.mktemp("sqs") / "sqs.log"
    program = str(Path(sys.executable).parent / "moto_server")
    process = launch([program, "-H", LOOPBACK, "-p", str(port)], log=log)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=60)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        end(process)


@dataclass(frozen=True)
class Queues:
    """One test's own queues and the settings that point at them."""

    client: SQSClient
    endpoint: str
    sends: Queue
    delivery_results: Queue
    settings: Services
    make_settings: MakeSettings


@pytest.fixture
def queues(sqs: str, make_settings: MakeSettings) -> Iterator[Queues]:
    """Create the two queues with their dead-letter queues for one test, and delete them afterwards."""

    def make(**changes: Any) -> Services:
        return make_settings(aws_endpoint_url_sqs=sqs, **changes)

    services = make()
    client = sqs_client(services.owner)
    create_queues(client, services.owner)
    sends = Queue.look_up(client, services.owner.sends_queue)
    results = Queue.look_up(client, services.owner.delivery_results_queue)
    try:
        yield Queues(client, sqs, sends, results, services, make)
    finally:
        for queue in (sends, results):
            client.delete_queue(QueueUrl=queue.url)
            client.delete_queue(QueueUrl=queue.dead_letter_url)
        client.close()


@dataclass(frozen=True)
class Mail:
    """A mail that the sink accepted."""

    mail_from: str
    rcpt_to: list[str]
    data: bytes
    at: datetime


@dataclass
class SmtpSink:
    """An SMTP server on loopback that keeps the mails it accepts.

    `replies` overrides the reply to a command: the keys are `MAIL`, `RCPT`, `DATA` or a recipient's address
    (at RCPT), the values are replies (`550 5.1.1 no such user`).
    """

    port: int
    host: str = LOOPBACK
    mails: list[Mail] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)

    def wait_for(self, count: int, seconds: float = 20) -> list[Mail]:
        """Wait until there are `count` mails and return them; fail the test after `seconds`."""
        arrived = wait_until(lambda: len(self.mails) >= count, seconds)
        assert arrived, f"{len(self.mails)} of {count} mails arrived in {seconds} s"
        return self.mails

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if reply := self.replies.get("MAIL"):
            return reply
        envelope.mail_from = address
        return "250 2.1.0 ok"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if reply := self.replies.get(address) or self.replies.get("RCPT"):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if reply := self.replies.get("DATA"):
            return reply
        content = envelope.original_content or b""
        self.mails.append(Mail(str(envelope.mail_from), list(envelope.rcpt_tos), content, datetime.now(UTC)))
        return "250 2.0.0 accepted"


@pytest.fixture
def smtp_sink() -> Iterator[SmtpSink]:
    """Start an SMTP sink for one test."""
    sink = SmtpSink(free_port())
    controller = Controller(sink, hostname=sink.host, port=sink.port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()
