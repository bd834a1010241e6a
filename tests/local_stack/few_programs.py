"""Runs stack commands with two quick programs and a step: `few_programs.py COMMAND ROOT FAULT`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from local_stack import stack
from local_stack.errors import StackError
from local_stack.folder import StackFolder
from local_stack.postgres import Postgres
from local_stack.program import Program, Stages, listens

# A server with a child in another session, which no signal reaches: a stop must end both.
SERVER = """
import http.server, os, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.fsencode(os.environ["SEQUENCE_STACK"]))
subprocess.Popen(["sleep", "1000"], start_new_session=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SILENT = "import time; print('I wait', flush=True); time.sleep(1000)"
COMMANDS = {
    "": ["sleep", "1000"],
    "ends": [sys.executable, "-c", "import sys; sys.exit('I need a moon')"],
    "slow": ["sleep", "1000"],
    "silent": ["sleep", "1000"],
    "missing": ["/nowhere/to/be/found"],
}


def stages(
    folder: StackFolder, _postgres: Postgres, ports: Mapping[str, int], _variables: Mapping[str, str]
) -> Stages:
    fault = sys.argv[3]
    port = ports["mail"]
    server = Program(
        "server",
        [sys.executable, "-c", SILENT if fault == "silent" else SERVER, str(port)],
        ports=[port],
        ready=listens(port),
        address=f"127.0.0.1:{port}",
    )
    quick = Program("quick", COMMANDS[fault], ready=lambda: not fault, start_seconds=30)
    return ((server,), (Program("step", ["true"], once=True), quick))


if __name__ == "__main__":
    command, root = sys.argv[1], Path(sys.argv[2])
    background = [sys.executable, __file__, "up-background", *sys.argv[2:]]
    try:
        match command:
            case "up":
                stack.up(root, stages=stages)
            case "up-background":
                stack.up(root, stages=stages, detached=True)
            case "up-detached":
                stack.up_detached(root, command=background)
            case "down":
                stack.down(root)
    except StackError as error:
        sys.exit(str(error))
