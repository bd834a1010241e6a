"""Root is shed for Postgres, which refuses it.

A user namespace of its own needs no account and changes no permission, so binaries and data may lie in a
private home. Where the kernel or a container forbids it, the program runs as an unprivileged account, if
that account can reach its files.
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
    """How to run a program that refuses root: a command before it, or an account."""

    prefix: tuple[str, ...] = ()
    user: str | None = None

    def own(self, folder: Path) -> None:
        """Give the folder to the account."""
        if self.user:
            shutil.chown(folder, self.user)


def unprivileged(binary: Path, folder: Path, *, namespaces: bool = True) -> RunAs:
    """Return a way to run `binary` in `folder` without root; raise PrivilegeError if there is none."""
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
        "Postgres refuses to run as root, user namespaces are not allowed here, and no unprivileged account "
        f"can reach both {binary} and {folder}. Run as an ordinary user, or move the project to a folder "
        "that others may enter (/srv, /opt)."
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
