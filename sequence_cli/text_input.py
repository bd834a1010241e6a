"""Reads text files that a command is given; `-` is standard input."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def read_text(file: Path, *, hint: str) -> str:
    """Return the file's text, non-UTF-8 bytes replaced. Raise BadParameter if it is unreadable."""
    if str(file) == "-":
        return sys.stdin.buffer.read().decode(errors="replace")
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise typer.BadParameter(f"{file} does not exist", param_hint=hint) from error
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}", param_hint=hint) from error
