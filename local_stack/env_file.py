"""Reads and writes `stack.env`: the variables that a program needs to use the stack.

The lines are KEY=value, quoted where a shell requires it, so that a shell can source the file.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path


def local_folder(root: Path) -> Path:
    """Return the folder of the stack of the project folder `root`."""
    return root.resolve() / ".local"


def env_file_of(root: Path) -> Path:
    """Return the path of `stack.env` for the project folder `root`."""
    return local_folder(root) / "stack.env"


def format_variables(variables: Mapping[str, str]) -> str:
    """Return the lines that a shell reads as these variables."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


def write_env_file(file: Path, variables: Mapping[str, str]) -> None:
    """Replace the file atomically; only its owner may read it."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(format_variables(variables), encoding="utf-8", errors="surrogateescape")
    new.replace(file)


def read_env_file(file: Path) -> dict[str, str]:
    """Return the file's variables; an empty dict if it does not exist or was not written by a stack."""
    try:
        entries = shlex.split(file.read_text(encoding="utf-8", errors="surrogateescape"))
    except (FileNotFoundError, ValueError):
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
