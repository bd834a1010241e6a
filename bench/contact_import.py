"""Measures an import of contacts, compared with a COPY of the same rows into the same tables."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
from psycopg.rows import TupleRow

import migrations
from local_stack.ports import LOOPBACK, free_port
from local_stack.postgres import OWNER, Postgres
from local_stack.processes import end, launch, wait_ready
from sequence_store.postgres.connection import connect

ROWS = 1_000_000
REPEATS = 3
BLOCK = 256 * 1024
TEMPLATE = "import_template"
TABLES = ("sequences", "steps", "contacts", "sequences_contacts")
STEP = {"stepNumber": 1, "mailSubject": "Hi", "mailContent": "Hi {{ contact.name }}"}


@dataclass(frozen=True)
class Figures:
    """Results for one size: seconds of import and COPY, median ratio, peak memory of the API process."""

    rows: int
    import_seconds: float
    copy_seconds: float
    ratio: float
    peak_mib: float

    def line(self) -> str:
        return (
            f"{self.rows:,} contacts imported and enrolled: {self.import_seconds:.1f} s, "
            f"{self.rows / self.import_seconds:,.0f} rows/s, {self.ratio:.2f} x COPY "
            f"({self.copy_seconds:.1f} s), peak of the API process {self.peak_mib:.0f} MiB"
        )


def run(rows: int = ROWS, repeats: int = REPEATS) -> Figures:
    """Measure import and COPY in turn, each in an empty database."""
    settings = {"shared_buffers": "1GB", "max_wal_size": "8GB", "jit": "off"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres = Postgres(folder / "postgres", free_port(), settings=settings)
        postgres.start()
        try:
            postgres.create_owner()
            postgres.create_database(TEMPLATE)
            passwords = {"sequence_api": postgres.password("sequence_api")}
            migrations.upgrade(postgres.url(OWNER, TEMPLATE), role_passwords=passwords)
            write_file(folder / "contacts.csv", rows)
            imports, copies, peaks = [], [], []
            for number in range(repeats):
                seconds, peak = measure_import(postgres, folder, number)
                imports.append(seconds)
                peaks.append(peak)
                copies.append(measure_copy(postgres, folder, number))
        finally:
            postgres.stop()
    ratio = statistics.median(i / c for i, c in zip(imports, copies, strict=True))
    return Figures(rows, statistics.median(imports), statistics.median(copies), ratio, max(peaks))


def write_file(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("name,mailAddress,attributes.company,attributes.city\n")
        for n in range(rows):
            file.write(
                f"Contact Number {n},contact{n}@company{n % 5000}.example,Company {n % 5000},City {n % 97}\n"
            )


def measure_import(postgres: Postgres, folder: Path, number: int) -> tuple[float, float]:
    """Return the seconds of the request and the API's peak MiB; write the imported rows to files."""
    database = f"import_{number}"
    postgres.create_database(database, template=TEMPLATE)
    port = free_port()
    variables = {"API_DATABASE_URL": postgres.url("sequence_api", database), "API_PORT": str(port)}
    log = folder / "api.log"
    program = [sys.executable, "-c", "from crud_api.server import serve; serve()"]
    process = launch(program, log=log, environment=os.environ | variables)
    try:
        url = f"http://{LOOPBACK}:{port}"
        wait_ready(process, lambda: _is_up(url), log=log, seconds=60)
        with httpx.Client(base_url=url, timeout=900) as client:
            sequence = client.post("/sequences", json={"name": "bench", "steps": [STEP]}).json()["id"]
            began = time.perf_counter()
            answer = client.post(
                "/contacts/imports", params={"sequenceId": sequence}, content=_blocks(folder / "contacts.csv")
            )
            seconds = time.perf_counter() - began
            assert answer.status_code == 201, answer.text
            shown = answer.json()
            assert shown["added"] == shown["enrolled"] == shown["rowsRead"], json.dumps(shown)
        peak = _peak_mib(process)
    finally:
        end(process)
    with connect(postgres.url(OWNER, database), name="bench") as connection:
        for table in TABLES:
            _dump(connection, table, folder)
    postgres.drop_database(database)
    return seconds, peak


def measure_copy(postgres: Postgres, folder: Path, number: int) -> float:
    database = f"copy_{number}"
    postgres.create_database(database, template=TEMPLATE)
    with connect(postgres.url(OWNER, database), name="bench") as connection:
        for table in TABLES[:2]:
            _load(connection, table, folder)
        connection.commit()
        began = time.perf_counter()
        for table in TABLES[2:]:
            _load(connection, table, folder)
        connection.commit()
        seconds = time.perf_counter() - began
    postgres.drop_database(database)
    return seconds


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _dump(connection: psycopg.Connection[TupleRow], table: str, folder: Path) -> None:
    with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy, (folder / table).open("wb") as file:
        for block in copy:
            file.write(block)


def _load(connection: psycopg.Connection[TupleRow], table: str, folder: Path) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for block in _blocks(folder / table):
            copy.write(block)


def _peak_mib(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    [kib] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kib) / 1024
