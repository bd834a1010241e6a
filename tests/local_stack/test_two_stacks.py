"""Tests of two stacks on one machine: neither takes the other's ports, answers or processes."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local_stack.env_file import read_env_file
from local_stack.folder import StackFolder
from local_stack.ports import LOOPBACK
from local_stack.processes import wait_until
from tests.local_stack.conftest import Stack, kill

ODD = 'it\'s "my" stäck  $HOME %s #1'


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[tuple[Stack, Stack]]:
    pair = (Stack(tmp_path / "first"), Stack(tmp_path / ODD))
    for stack in pair:
        stack.root.mkdir()
    yield pair
    for stack in pair:
        stack.fault = ""
        stack.close()


def ports_of(stack: Stack) -> set[int]:
    variables = read_env_file(stack.folder.env_file)
    urls = [urlsplit(value) for name, value in variables.items() if name.endswith("_URL")]
    return {url.port for url in urls if url.port}


def served_folder(stack: Stack) -> str:
    """Return what the stack's server says of itself: the folder in which it was started."""
    url = urlsplit(read_env_file(stack.folder.env_file)["MAIL_SINK_URL"])
    connection = HTTPConnection(LOOPBACK, url.port or 0, timeout=5)
    connection.request("GET", "/who")
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer


def start_together(stacks: tuple[Stack, Stack]) -> None:
    started = [subprocess.Popen(one.command("up-detached"), stdout=subprocess.DEVNULL) for one in stacks]
    assert [one.wait(60) for one in started] == [0, 0]


def test_stacks_started_at_once_have_their_own_ports_and_programs(stacks: tuple[Stack, Stack]) -> None:
    first, second = stacks
    start_together(stacks)
    assert not ports_of(first) & ports_of(second)
    for stack in stacks:
        assert served_folder(stack) == str(stack.folder.path)
    kill(first.pid("server"))
    assert wait_until(lambda: first.pid("server") != 0, 20)
    assert first.run("down").returncode == 0
    assert second.pid("server")
    assert served_folder(second) == str(second.folder.path)


def test_env_file_can_be_sourced_in_a_folder_with_spaces_quotes_and_umlauts(
    stacks: tuple[Stack, Stack],
) -> None:
    _, odd = stacks
    odd.up()
    script = 'set -a; . "$1"; set +a; printf "%s\\n%s\\n" "$MAIL_SINK_DIR" "$DATABASE_URL"'
    shown = subprocess.check_output(["sh", "-c", script, "sh", str(odd.folder.env_file)], text=True)
    variables = read_env_file(odd.folder.env_file)
    assert variables["MAIL_SINK_DIR"] == str(odd.folder.path / "mail")
    assert shown.splitlines() == [variables["MAIL_SINK_DIR"], variables["DATABASE_URL"]]


def test_copy_of_a_folder_with_a_running_stack_leaves_that_stack_alone(stacks: tuple[Stack, Stack]) -> None:
    first, second = stacks
    first.up()
    shutil.copytree(first.folder.path, second.folder.path)
    assert second.folder.is_stale()
    assert not second.folder.runs()
    assert second.run("down").returncode == 0
    assert first.pid("server")
    second.up()
    assert first.pid("server")
    assert not ports_of(first) & ports_of(second)


def test_foreign_server_on_a_port_is_not_taken_for_ours(stacks: tuple[Stack, Stack]) -> None:
    """The program is alive and says nothing, as one that waits for its port."""
    stack, _ = stacks
    stack.fault = "silent"
    starting = subprocess.Popen(
        stack.command("up"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert wait_until(stack.folder.env_file.exists, 20)
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = urlsplit(read_env_file(stack.folder.env_file)["MAIL_SINK_URL"]).port
        foreign.bind((LOOPBACK, port or 0))
        foreign.listen()
        output, _ = starting.communicate(timeout=30)
    assert starting.returncode == 1
    assert f"cannot have port {port}: another program listens on it" in output
    assert "I wait" in output
    assert not stack.processes()


def test_program_of_an_earlier_stage_that_dies_fails_the_start_with_its_last_lines(
    stacks: tuple[Stack, Stack],
) -> None:
    stack, _ = stacks
    stack.fault = "slow"
    starting = subprocess.Popen(
        stack.command("up"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert wait_until(lambda: stack.pid("quick") != 0, 20)
    kill(stack.pid("server"))
    output, _ = starting.communicate(timeout=30)
    assert starting.returncode == 1
    assert f"server exited with status {-signal.SIGKILL}" in output
    assert str(stack.folder.log("server")) in output


def test_stop_removes_the_variables_and_a_killed_supervisor_leaves_them(stacks: tuple[Stack, Stack]) -> None:
    stack, _ = stacks
    supervisor = stack.up()
    kill(supervisor.pid)
    supervisor.wait()
    assert StackFolder(stack.root).runs()
    assert stack.folder.env_file.exists()
    assert stack.run("down").returncode == 0
    assert not stack.folder.env_file.exists()
    assert not StackFolder(stack.root).runs()
