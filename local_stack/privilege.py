"""Drops root privileges for Postgres, which refuses to run as root.

A user namespace needs no account and no change of permissions, so binaries and data may be in a private home
folder. If the kernel or a container forbids namespaces, the program runs as an unprivileged account, provided
that the account can access its files.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local_stack.errors import PrivilegeError

_NAMESPACE = ("--user", "--map-user=1000", "--map-group=1000")
_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class RunAs:
    """How to run a program without root: a command prefix, or an account."""

    prefix: tuple[str, ...] = ()
    user: str | None = None

    def own(self, folder: Path) -> None:
        """Make the account the owner of the folder."""
        if self.user:
            shutil.chown(folder, self.user)


def unprivileged(binary: Path, folder: Path, *, namespaces: bool = True) -> RunAs:
    """Return how to run `binary` in `folder` without root; raise PrivilegeError if it is impossible."""
    if os.geteuid() != 0:
        return RunAs()
    unshare = shutil.which("unshare")
    if namespaces and unshare and _succeeds(unshare, *_NAMESPACE, str(binary), "--version"):
        return RunAs(prefix=(unshare, *_NAMESPACE))
    for account in filter(_exists, _ACCOUNTS):
        if _succeeds(
            "/bin/sh", "-c", 'cd "$0" && exec "$1" --version', str(folder), str(binary), user=account
        ):
            return RunAs(user=account)
    raise PrivilegeError(
        "Postgres refuses to run as root, this machine forbids user namespaces, and no unprivileged account "
        f"can access both {binary} and {folder}. Run the command as an ordinary user, or move the project to "
        "a folder that other accounts can access (/srv, /opt)."
    )


def _exists(account: str) -> bool:
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def _succeeds(*command: str, user: str | None = None) -> bool:
    try:
        done = subprocess.run(  # noqa: S603
            command, user=user, extra_groups=[] if user else None, capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0
