"""Reads and writes `stack.env`: the variables that a program needs to use the stack, as KEY=value lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def local_folder(root: Path) -> Path:
    """Return the folder of the stack of the project folder `root`."""
    return root.resolve() / ".local"


def env_file_of(root: Path) -> Path:
    """Return the path of `stack.env` for the project folder `root`."""
    return local_folder(root) / "stack.env"


def write_env_file(file: Path, variables: Mapping[str, str]) -> None:
    """Replace the file atomically; only its owner may read it."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    new.replace(file)


def read_env_file(file: Path) -> dict[str, str]:
    """Return the file's variables; an empty dict if the file does not exist."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)
