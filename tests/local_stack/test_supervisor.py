"""Tests of the supervisor: start, restart, stop, recovery after a kill."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from http.client import HTTPConnection

from local_stack.env_file import read_env_file
from local_stack.ports import LOOPBACK, answers
from local_stack.processes import wait_until
from local_stack.variables import PREFERRED_PORTS
from tests.conftest import SmtpSink
from tests.local_stack.conftest import Stack, kill

NEEDED = [
    "DATABASE_URL",
    "API_DATABASE_URL",
    "PIPELINE_DATABASE_URL",
    "WORKER_DATABASE_URL",
    "READONLY_DATABASE_URL",
    "DAGSTER_DATABASE_URL",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "VALKEY_URL",
    "SMTP_HOST",
    "SMTP_PORT",
    "MAIL_SINK_URL",
    "MAIL_SINK_DIR",
    "API_URL",
    "API_PORT",
    "ASSET_STORE",
    "DAGSTER_HOME",
    "DAGSTER_URL",
    "DAGSTER_CODE_PORT",
]


def test_ctrl_c_stops_everything_in_reverse_order(stack: Stack) -> None:
    supervisor = stack.up()
    assert len(stack.processes()) == 3
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(30) == 0
    assert not stack.processes()
    stopped = [line.split()[1] for line in stack.output().splitlines() if line.split()[0] == "down"]
    assert stopped == ["quick", "server"]


def test_up_twice_is_harmless(stack: Stack) -> None:
    stack.up()
    before = stack.processes()
    again = stack.run("up")
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert stack.processes() == before


def test_down_leaves_no_process_and_is_harmless_without_a_stack(stack: Stack) -> None:
    assert stack.run("down").returncode == 0
    supervisor = stack.up()
    assert stack.run("down").returncode == 0
    assert supervisor.wait(30) == 0
    assert not stack.processes()
    assert not stack.folder.records()


def test_detached_stack_goes_on_and_down_ends_it(stack: Stack) -> None:
    started = stack.run("up-detached")
    assert started.returncode == 0, started.stdout
    assert "server" in started.stdout
    assert "stack down" in started.stdout
    assert stack.pid("server")
    assert stack.run("up-detached").returncode == 0
    assert stack.run("down").returncode == 0
    assert not stack.processes()


def test_killed_child_is_restarted_and_reported(stack: Stack) -> None:
    stack.up()
    first = stack.pid("server")
    kill(first)
    assert wait_until(lambda: stack.pid("server") not in (0, first), 20)
    assert wait_until(lambda: stack.output().count(" server ") == 3, 20), stack.output()  # up, died, up
    assert "restarts in 0.5 s" in stack.output()


def test_down_cleans_up_after_a_killed_supervisor(stack: Stack) -> None:
    supervisor = stack.up()
    kill(supervisor.pid)
    supervisor.wait()
    assert stack.pid("server")
    assert stack.run("down").returncode == 0
    assert not stack.processes()


def test_up_works_after_a_killed_supervisor_and_keeps_its_ports(stack: Stack) -> None:
    supervisor = stack.up()
    server, ports = stack.pid("server"), stack.folder.ports_file.read_text()
    kill(supervisor.pid)
    supervisor.wait()
    stack.up()
    assert stack.pid("server") not in (0, server)
    assert stack.folder.ports_file.read_text() == ports


def test_process_that_reuses_a_recorded_pid_is_not_killed(stack: Stack) -> None:
    stack.up()
    file = stack.folder.pids / "server.json"
    record = json.loads(file.read_text())
    stack.run("down")
    with subprocess.Popen(["sleep", "1000"]) as other:
        file.write_text(json.dumps(record | {"pid": other.pid}))
        try:
            stack.run("down")
            assert other.poll() is None
        finally:
            other.kill()


def test_stop_is_obeyed_while_starting(stack: Stack) -> None:
    stack.fault = "slow"
    starting = subprocess.Popen(stack.command("up"), stdout=subprocess.DEVNULL)
    assert wait_until(lambda: stack.pid("quick") != 0, 20)
    starting.terminate()
    assert starting.wait(20) == 0
    assert not stack.processes()


def test_failed_start_reports_the_cause_and_stops_what_it_started(stack: Stack) -> None:
    stack.fault = "ends"
    failed = stack.run("up")
    assert failed.returncode == 1
    assert "quick exited with status 1" in failed.stdout
    assert "I need a moon" in failed.stdout
    assert str(stack.folder.log("quick")) in failed.stdout
    assert not stack.processes()


def test_failed_start_in_the_background_is_reported(stack: Stack) -> None:
    stack.fault = "missing"
    failed = stack.run("up-detached")
    assert failed.returncode == 1
    assert "quick cannot be started" in failed.stdout
    assert not stack.processes()


def test_env_file_is_complete_and_private(stack: Stack) -> None:
    stack.up()
    file = stack.folder.env_file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    variables = read_env_file(file)
    assert not set(NEEDED) - set(variables)
    assert all(variables.values())
    assert variables["DAGSTER_DATABASE_URL"].startswith("postgresql+psycopg2://")
    assert variables["DATABASE_URL"].startswith("postgresql://sequence_owner:")


def test_servers_avoid_ports_that_are_taken(stack: Stack, smtp_sink: SmtpSink) -> None:
    stack.folder.make()
    taken = smtp_sink.port
    stack.folder.ports_file.write_text(json.dumps({"mail": taken}))
    stack.up()
    url = read_env_file(stack.folder.env_file)["MAIL_SINK_URL"]
    port = int(url.rpartition(":")[2])
    assert port not in (taken, *PREFERRED_PORTS.values())
    assert answers(port)
    connection = HTTPConnection(LOOPBACK, port)
    connection.request("GET", "/")
    assert connection.getresponse().status == 200
    connection.close()
