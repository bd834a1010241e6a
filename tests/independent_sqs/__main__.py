"""Runs the tests of the queues on an SQS server of other authors: `make trial NAME=independent-sqs`.

Everywhere else the tests use moto. The server is the npm package fauxqs, which Node runs; the first run
installs it, without its install scripts, in `.local/independent-sqs`. It listens on loopback and keeps
nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import end, launch, wait_ready

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".local" / "independent-sqs"
PACKAGE = "fauxqs@1.9.2"  # the newest release that Node 20 runs
SERVER = """import {{ buildApp }} from "fauxqs";
await buildApp({{ logger: false }}).listen({{ port: {port}, host: "{host}" }});"""
TESTS = (
    "tests/local_stack/test_sqs.py",
    "tests/sequence_store/test_queues_of_an_environment.py",
    "tests/pipelines/test_assets.py",
    "tests/pipelines/test_ses_notifications.py",
    "tests/pipelines/test_code_location_health.py",
    "tests/step_mailing_worker/test_worker.py",
    "tests/step_mailing_worker/test_start_checks.py",
)


def install() -> None:
    """Install the package unless this version is there; exit with npm's message if that fails."""
    mark = FOLDER / PACKAGE
    if mark.exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"npm could not install {PACKAGE}:\n{done.stdout}{done.stderr}")
    mark.touch()


def main(arguments: list[str]) -> int:
    """Run the tests, with further arguments of pytest; return pytest's status."""
    install()
    port = free_port()
    log = FOLDER / "server.log"
    script = FOLDER / "serve.mjs"  # finds the package beside it
    script.write_text(SERVER.format(port=port, host=LOOPBACK))
    server = launch(["node", str(script)], log=log)
    try:
        wait_ready(server, lambda: answers(port), log=log, seconds=60)
        environment = os.environ | {"SQS_OF_TESTS": f"http://{LOOPBACK}:{port}"}
        command = [sys.executable, "-m", "pytest", "-q", *TESTS, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    finally:
        end(server)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
