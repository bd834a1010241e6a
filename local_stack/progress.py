"""What the stack says while it starts, runs and stops: colours on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from local_stack.processes import last_words

_WIDTH = 18


class Progress:
    """Prints one line an event."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)

    def started(self, name: str, address: str, seconds: float) -> None:
        self._line("green", "up", name, f"{address or '-':<32} {seconds:5.1f} s")

    def stopped(self, name: str, seconds: float) -> None:
        self._line("dim", "down", name, f"{'':<32} {seconds:5.1f} s")

    def died(self, name: str, status: int, log: Path, pause: float) -> None:
        self._line("yellow", "died", name, f"status {status}; starts again in {pause:g} s")
        self._console.print(escape(last_words(log, lines=5)), style="dim")

    def failed_again(self, name: str, reason: str) -> None:
        self._line("red", "fail", name, reason)

    def say(self, text: str) -> None:
        self._console.print(escape(text))

    def addresses(self, variables: Mapping[str, str], env_file: Path) -> None:
        """Print where a person goes next."""
        places = {"Dagster": "DAGSTER_URL", "API": "API_URL", "Mail": "MAIL_SINK_URL"}
        for place, name in places.items():
            if name in variables:
                suffix = "/docs" if place == "API" else ""
                self._line("bold", "", place, variables[name] + suffix)
        self._line("bold", "", "Settings", str(env_file))

    def _line(self, style: str, event: str, name: str, rest: str) -> None:
        self._console.print(f"[{style}]{event:>5}[/]  {escape(name):<{_WIDTH}} {escape(rest)}")
