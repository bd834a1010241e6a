"""Prints the stack's events while it starts, runs and stops; in colour on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from local_stack.processes import log_tail

_WIDTH = 18


class Progress:
    """Prints one line for each event."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)

    def started(self, name: str, address: str, seconds: float) -> None:
        self._line("green", "up", name, f"{address or '-':<32} {seconds:5.1f} s")

    def stopped(self, name: str, seconds: float) -> None:
        self._line("dim", "down", name, f"{'':<32} {seconds:5.1f} s")

    def died(self, name: str, status: int, log: Path, pause: float) -> None:
        self._line("yellow", "died", name, f"status {status}; restarts in {pause:g} s")
        self._console.print(escape(log_tail(log, lines=5)), style="dim")

    def failed_again(self, name: str, reason: str) -> None:
        self._line("red", "fail", name, reason)

    def say(self, text: str) -> None:
        self._console.print(escape(text))

    def addresses(self, variables: Mapping[str, str], env_file: Path) -> None:
        """Print the addresses of the web pages and the path of `stack.env`."""
        pages = {"Dagster": "DAGSTER_URL", "API": "API_URL", "Mail": "MAIL_SINK_URL"}
        for page, name in pages.items():
            if name in variables:
                suffix = "/docs" if page == "API" else ""
                self._line("bold", "", page, variables[name] + suffix)
        self._line("bold", "", "Settings", str(env_file))

    def _line(self, style: str, event: str, name: str, rest: str) -> None:
        self._console.print(f"[{style}]{event:>5}[/]  {escape(name):<{_WIDTH}} {escape(rest)}")
