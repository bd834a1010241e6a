"""Probe of the code location for a container.

It is run as `python -m sequence_pipelines.maintenance.code_location_health`.

After each start of the code server it asks until all of this holds: the definitions load, the settings are
valid, the database is migrated, and the queues exist and belong to this environment. It then writes a mark,
and from then on only connects to the port. The questions import neither Dagster nor the definitions.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sequence_store.settings import PipelineSettings

PORT = 4000
SECONDS = 25.0
START_TICKS = 19  # field 22 of /proc/PID/stat, counted behind the program's name


class NotReadyError(Exception):
    """The code location cannot work yet; the message says why."""


def main() -> int:
    """Print the reason and return 1 if the code location is not ready."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=PORT)
    arguments.add_argument("--mark", type=Path, default=Path(tempfile.gettempdir()) / "code-location-ready")
    given = arguments.parse_args()
    try:
        if _is_marked(given.mark):
            with socket.create_connection(("127.0.0.1", given.port), timeout=SECONDS):
                return 0
        ask_definitions(given.port)
        ask_environment()
    except (NotReadyError, OSError) as error:
        print(f"not ready: {error}", file=sys.stderr)  # noqa: T201
        return 1
    given.mark.write_text(_this_start())
    return 0


def ask_definitions(port: int) -> None:
    """Raise NotReadyError unless the code server lists the repository of the definitions."""
    import grpc  # type: ignore[import-untyped]

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/api.DagsterApi/ListRepositories")
        try:
            answer: bytes = call(b"", timeout=SECONDS)
        except grpc.RpcError as error:
            raise NotReadyError(f"the code server does not respond: {error.code().name}") from None
    listed = json.loads(answer[answer.index(b"{") :])  # behind the tag and the length of the only field
    if listed.get("__class__") != "ListRepositoriesResponse":
        raise NotReadyError(f"the definitions do not load: {str(listed.get('message', listed)).strip()}")


def ask_environment() -> None:
    """Raise NotReadyError if settings, database or queues do not let the pipelines work."""
    import psycopg
    from botocore.exceptions import BotoCoreError, ClientError

    from sequence_store.errors import StoreError
    from sequence_store.secrets.pipeline_secret import read_pipeline_settings
    from sequence_store.settings import refuse_default_passwords

    try:
        settings = read_pipeline_settings()
        refuse_default_passwords(settings)
        _ask_schema(settings)
        _ask_queues(settings)
    except (StoreError, psycopg.Error, BotoCoreError, ClientError) as error:
        raise NotReadyError(str(error).partition("\n")[0]) from None


def _ask_schema(settings: PipelineSettings) -> None:
    from psycopg.errors import UndefinedFunction

    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.postgres.schema_revision import SchemaState, release_revision, schema_state

    with connect(settings.pipeline_database_url, name="sequences code location") as connection:
        try:
            row = connection.execute(query("schema", "read_revision")).fetchone()
        except UndefinedFunction:
            row = None
    found = row[0] if row else None
    if schema_state(found) is SchemaState.OLDER:
        raise NotReadyError(
            f"waiting for migrations: the database is at {found}, not at {release_revision()}"
        )


def _ask_queues(settings: PipelineSettings) -> None:
    from sequence_store.sqs import Queue, sqs_client

    client = sqs_client(settings, read_timeout=10)
    try:
        for name in (settings.sends_queue, settings.delivery_results_queue):
            Queue.look_up(client, name, environment=settings.sequence_environment)
    finally:
        client.close()


def _is_marked(mark: Path) -> bool:
    return mark.exists() and mark.read_text() == _this_start()


def _this_start() -> str:
    """Return what names this start of the container: a volume may keep the mark of an earlier one."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    ticks = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[START_TICKS]
    return f"{boot} {ticks}"


if __name__ == "__main__":
    sys.exit(main())
