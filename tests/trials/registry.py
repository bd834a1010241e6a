"""Lists the trials: tests that take long or need a server that `make test` does without.

`make test` runs none of them, except the tests of Dovecot, of the alert rules and of the pages, which it runs
if their program is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
PYTEST = (PYTHON, "-m", "pytest", "-q")


def environment() -> dict[str, str]:
    """Return the environment of a trial: ours, with the folders of servers on the PATH."""
    return os.environ | {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"}


@dataclass(frozen=True)
class Requirement:
    """A program that a trial needs, and the Debian package that has it.

    `probe` is a command that succeeds only if the program is usable, such as a request to its server.
    """

    program: str
    package: str
    probe: tuple[str, ...] = ()

    def is_met(self) -> bool:
        """Return whether the program is installed and its probe succeeds."""
        if shutil.which(self.program, path=environment()["PATH"]) is None:
            return False
        if not self.probe:
            return True
        return subprocess.run(self.probe, env=environment(), capture_output=True, check=False).returncode == 0


@dataclass(frozen=True)
class Trial:
    """One trial; `summary` is one line, `minutes` the usual duration."""

    summary: str
    minutes: int
    command: tuple[str, ...]
    requirements: tuple[Requirement, ...] = ()


DOCKER = (
    Requirement("docker", "docker.io", probe=("docker", "info")),
    Requirement("docker", "docker-compose", probe=("docker", "compose", "version")),
    Requirement("docker", "docker-buildx", probe=("docker", "buildx", "version")),
)

TRIALS: Mapping[str, Trial] = {
    "soak": Trial(
        "the product with a fault every few seconds; accounts for every mail (MINUTES=10)",
        13,
        (PYTHON, "-m", "tests.soak"),
    ),
    "two-stacks": Trial(
        "two clones started in the same second; each plans and sends on its own",
        5,
        (PYTHON, "-m", "tests.two_stacks"),
    ),
    "interruptions": Trial(
        "the code server killed during runs, a stop during backfills, two clicks on Materialize",
        12,
        (PYTHON, "-m", "tests.interruptions"),
    ),
    "dagster-history": Trial(
        "Dagster's database after a simulated month, before and after old runs are removed",
        10,
        (PYTHON, "-m", "tests.dagster_history"),
    ),
    "celery-backfill": Trial(
        "thirty days planned by two Celery workers, compared with one machine (MINUTES=12)",
        30,
        (PYTHON, "-m", "tests.celery", "backfill"),
    ),
    "celery-killed": Trial(
        "Celery workers killed in the middle of a plan and of a dispatch (MINUTES=12)",
        20,
        (PYTHON, "-m", "tests.celery", "killed"),
    ),
    "docker": Trial(
        "Compose on a Docker engine: restarts during a day, an upgrade, a restore (MINUTES=9)",
        25,
        ("deploy/test.sh",),
        DOCKER,
    ),
    "dovecot": Trial(
        "replies and bounces read from a Dovecot IMAP server",
        1,
        (*PYTEST, "tests/step_mailing_worker/test_mailbox_reader.py", "-k", "dovecot"),
        (Requirement("dovecot", "dovecot-imapd"),),
    ),
    "dovecot-large": Trial(
        "20,000 mails in Dovecot: moved, read by two readers, killed at each step; processor of 5,000 mails",
        8,
        (*PYTEST, "-s", "tests/step_mailing_worker/trial_of_dovecot.py"),
        (Requirement("dovecot", "dovecot-imapd"),),
    ),
    "postfix": Trial(
        "throughput of the worker, compared with Postfix's smtp-source against the same server",
        8,
        (PYTHON, "-m", "bench", "worker", "throughput"),
        (Requirement("smtp-source", "postfix"),),
    ),
    "postfix-addresses": Trial(
        "whether Postfix accepts every address that the product accepts",
        1,
        (PYTHON, "-m", "tests.postfix_addresses"),
        (Requirement("postfix", "postfix"),),
    ),
    "refusals": Trial(
        "sixteen kinds of refusal behind a Postfix relay, read from the mails that it returns (needs root)",
        2,
        (*PYTEST, "tests/step_mailing_worker/trial_refusals.py"),
        (Requirement("postfix", "postfix"),),
    ),
    "alert-rules": Trial(
        "the alert rules and their tests in Prometheus",
        1,
        (*PYTEST, "tests/observability", "-k", "promtool"),
        (Requirement("promtool", "prometheus"),),
    ),
    "pages": Trial(
        "a day with the pages of Dagster, the API and the mail sink opened in a browser",
        3,
        (*PYTEST, "tests/end_to_end"),
        (Requirement("chromium", "chromium"),),
    ),
}
