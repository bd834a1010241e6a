"""`stack.env`: KEY=value lines through which any program attaches to the stack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def env_file_of(root: Path) -> Path:
    """Return where the stack of the project folder `root` keeps its variables."""
    return root.resolve() / ".local" / "stack.env"


def write_env_file(file: Path, variables: Mapping[str, str]) -> None:
    """Replace the file by these variables; only its owner may read it."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    new.replace(file)


def read_env_file(file: Path) -> dict[str, str]:
    """Return the file's variables, none where there is no file."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)
