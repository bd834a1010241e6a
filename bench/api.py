"""Measures the API under load, compared with the same statement over psycopg in one process."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

import migrations
from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.postgres import OWNER, Postgres
from local_stack.processes import end, launch, wait_ready
from sequence_store.postgres.connection import connect
from sequence_store.secrets.api_keys import Scope, hash_key, new_key

CONTACTS = 1_000_000
CONNECTIONS = 8
SECONDS = 3.0
REPEATS = 5

COLUMNS = "id, external_id, name, mail_address, is_active, attributes, created, updated"
READ = f"SELECT {COLUMNS} FROM contacts WHERE external_id = %s AND deleted_at IS NULL"
LIST = f"SELECT {COLUMNS} FROM contacts WHERE deleted_at IS NULL AND id > %s ORDER BY id LIMIT 51"
CREATE = f"INSERT INTO contacts (name, mail_address, attributes) VALUES (%s, %s, %s) RETURNING {COLUMNS}"
FILL = """INSERT INTO contacts (name, mail_address, attributes)
    SELECT 'Contact ' || n, 'contact' || n || '@people.example',
        jsonb_build_object('company', 'Company ' || n %% 1000)
    FROM generate_series(1, %s) n"""

numbers = itertools.count(1)


@dataclass(frozen=True)
class Kind:
    """One kind of request, and the statement that the API runs for it."""

    name: str
    request: Callable[[], bytes]
    statement: str
    values: Callable[[], tuple[Any, ...]]


@dataclass(frozen=True)
class Measured:
    """The figures of one side in one repeat."""

    per_second: float
    p99: float
    cpu: float  # CPU seconds per request, in the API's process or in this one


def run() -> None:
    settings = {"shared_buffers": "1GB", "max_wal_size": "8GB", "jit": "off", "synchronous_commit": "off"}
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder) / "postgres", free_port(), settings=settings)
        postgres.start()
        try:
            postgres.create_owner()
            measure(postgres, Path(folder))
        finally:
            postgres.stop()


def measure(postgres: Postgres, folder: Path) -> None:
    role = "sequence_api"
    postgres.create_database("bench_api")
    owner, api = postgres.url(OWNER, "bench_api"), postgres.url(role, "bench_api")
    migrations.upgrade(owner, role_passwords={role: postgres.password(role)})
    ids, key = fill(owner)
    port, log = free_port(), folder / "api.log"
    environment = {
        "API_DATABASE_URL": api,
        "API_PORT": str(port),
        "API_AUTH": "on",
        "API_RATE_LIMIT_PER_MINUTE": "0",
    }
    server = launch([str(Path(sys.executable).parent / "sequences"), "api"], log=log, environment=environment)
    try:
        wait_ready(server, lambda: answers(port), log=log, seconds=30)
        for kind in kinds(ids, key):
            compare(kind, port, server.pid, api)
    finally:
        end(server)


def fill(owner: str) -> tuple[Iterator[str], str]:
    key = new_key()
    with connect(owner, name="bench", autocommit=True) as connection:
        connection.execute(FILL.encode(), (CONTACTS,))
        connection.execute("VACUUM ANALYZE contacts")
        connection.execute(
            "INSERT INTO api_keys (key_name, key_hash, scopes) VALUES ('bench', %s, %s)",
            (hash_key(key), list(Scope)),
        )
        sample = connection.execute("SELECT external_id::text FROM contacts WHERE id % 97 = 0").fetchall()
    return itertools.cycle([one[0] for one in sample]), key


def kinds(ids: Iterator[str], key: str) -> list[Kind]:
    starts = itertools.cycle(range(1, CONTACTS, 97))

    def address() -> str:
        return f"new{next(numbers)}@people.example"

    def created() -> bytes:
        body = {"name": "Ada", "mailAddress": address(), "attributes": {"company": "Acme"}}
        return request("POST", "/contacts", key, json.dumps(body).encode())

    return [
        Kind("read", lambda: request("GET", f"/contacts/{next(ids)}", key), READ, lambda: (next(ids),)),
        Kind(
            "list of 50",
            lambda: request("GET", f"/contacts?after={next(starts)}_long", key),
            LIST,
            lambda: (next(starts),),
        ),
        Kind("create", created, CREATE, lambda: ("Ada", address(), Jsonb({"company": "Acme"}))),
    ]


def request(method: str, path: str, key: str, body: bytes = b"") -> bytes:
    headers = f"Host: api\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}"
    return f"{method} {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body


def compare(kind: Kind, port: int, pid: int, url: str) -> None:
    """Run both sides in turn and print the medians of both and of their ratios."""
    with connect(url, name="bench", autocommit=True) as connection:
        pairs = [(asyncio.run(load(kind, port, pid)), statements(kind, connection)) for _ in range(REPEATS)]
    served, bare = (median([pair[side] for pair in pairs]) for side in (0, 1))
    ratio = statistics.median(one.per_second / other.per_second for one, other in pairs)
    slower = statistics.median(one.p99 / other.p99 for one, other in pairs)
    print(
        f"{kind.name}: {described(served)}; psycopg {described(bare)};"
        f" {ratio:.3f} x its rate, {slower:.0f} x its p99"
    )


def median(repeats: list[Measured]) -> Measured:
    return Measured(*(statistics.median(values) for values in zip(*map(astuple, repeats), strict=True)))


def described(one: Measured) -> str:
    return f"{one.per_second:,.0f}/s, p99 {one.p99 * 1e3:.2f} ms, {one.cpu * 1e6:.0f} us of CPU per request"


async def load(kind: Kind, port: int, pid: int) -> Measured:
    """Send requests over several connections; each connection sends the next one after its response."""
    durations: list[float] = []
    until = time.perf_counter() + SECONDS
    began, cpu = time.perf_counter(), processor_time(pid)
    await asyncio.gather(*(client(kind, port, until, durations) for _ in range(CONNECTIONS)))
    return measured(durations, time.perf_counter() - began, processor_time(pid) - cpu)


def processor_time(pid: int) -> float:
    """Return the CPU seconds that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def client(kind: Kind, port: int, until: float, durations: list[float]) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    while time.perf_counter() < until:
        content = kind.request()
        began = time.perf_counter()
        writer.write(content)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head[9:11] == b"20", head
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        durations.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()


def statements(kind: Kind, connection: psycopg.Connection[Any]) -> Measured:
    durations = []
    until = time.perf_counter() + SECONDS
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() < until:
        values = kind.values()
        started = time.perf_counter()
        connection.execute(kind.statement.encode(), values).fetchall()
        durations.append(time.perf_counter() - started)
    return measured(durations, time.perf_counter() - began, time.process_time() - cpu)


def measured(durations: list[float], seconds: float, cpu: float) -> Measured:
    count = len(durations)
    return Measured(count / seconds, statistics.quantiles(durations, n=100)[-1], cpu / count)
