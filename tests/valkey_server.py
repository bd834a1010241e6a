"""Valkey server for a test."""

from __future__ import annotations

import subprocess
from pathlib import Path

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import end, launch, wait_ready
from local_stack.programs import valkey_binary


class ValkeyServer:
    """A Valkey without persistence: it is empty after a kill and a start."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"valkey://{LOOPBACK}:{self.port}/0"
        self._log = folder / "valkey.log"
        self._command = [str(valkey_binary()), "--port", str(self.port), "--bind", LOOPBACK, "--save", "",
                         "--dir", str(folder)]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = launch(self._command, log=self._log)
        wait_ready(self._process, lambda: answers(self.port), log=self._log, seconds=20)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            end(self._process)
            self._process = None
