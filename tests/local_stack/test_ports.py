"""Tests of the choice of ports: two stacks never get the same, and a listener is known by its process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local_stack.env_file import write_env_file
from local_stack.folder import StackFolder
from local_stack.ports import LOOPBACK, free_port, is_free, listeners, owned_by, reserve
from local_stack.postgres import Postgres
from local_stack.processes import wait_until
from local_stack.variables import make_variables, reserve_ports
from sequence_store.settings import Settings

RESERVE = """
import sys
from local_stack.ports import reserve
reserved = [reserve(int(port)) for port in sys.argv[1:]]
print(*(one.port for one in reserved), flush=True)
sys.stdin.read()
"""


def test_taken_port_is_avoided() -> None:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        taken = server.getsockname()[1]
        assert not is_free(taken)
        assert free_port(taken) != taken
        other = reserve(taken)
        assert other.port != taken
        other.release()
    assert free_port(taken) == taken


def test_port_taken_on_all_addresses_is_avoided() -> None:
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        assert not is_free(server.getsockname()[1])


def test_chosen_ports_differ_and_are_kept(tmp_path: Path) -> None:
    folder = StackFolder(tmp_path)
    folder.make()
    chosen = []
    for _ in range(2):
        reserved = reserve_ports(folder)
        chosen.append({name: one.port for name, one in reserved.items()})
        for one in reserved.values():
            one.release()
    assert len(set(chosen[0].values())) == len(chosen[0])
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize("damaged", ["", "[]", '{"mail": null}', '{"mail": 70000}', "no json"])
def test_damaged_file_of_ports_is_replaced(tmp_path: Path, damaged: str) -> None:
    folder = StackFolder(tmp_path)
    folder.make()
    folder.ports_file.write_text(damaged)
    for one in reserve_ports(folder).values():
        assert 0 < one.port <= 65_535
        one.release()


def test_processes_that_reserve_the_same_ports_at_once_get_different_ones() -> None:
    wanted = [str(free_port()) for _ in range(3)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RESERVE, *wanted], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    try:
        got = [port for one in started if one.stdout for port in one.stdout.readline().split()]
    finally:
        for one in started:
            one.communicate("")
    assert len(got) == len(set(got)) == 6 * 3
    assert set(wanted) <= set(got)


def test_reserved_port_can_be_bound_by_its_program_only() -> None:
    reserved = reserve(free_port())
    try:
        second = reserve(reserved.port)
        assert second.port != reserved.port
        second.release()
        assert not is_free(reserved.port)
        reserved.hand_over()
        reserved.hand_over()  # as before a restart of its program
        assert is_free(reserved.port)
        with pytest.raises(OSError, match="in use"), socket.socket() as other:
            other.bind((LOOPBACK, reserved.port))  # without SO_REUSEADDR, as a program that needs any port
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((LOOPBACK, reserved.port))
            server.listen()
    finally:
        reserved.release()


def test_listener_is_known_by_its_process_also_where_two_share_the_port() -> None:
    """A gRPC server sets SO_REUSEPORT: a second one binds the port and gets some of the requests."""
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        own.bind((LOOPBACK, 0))
        own.listen()
        port = own.getsockname()[1]
        found = listeners(port)
        assert found
        assert owned_by(found, [os.getpid()])
        share = (
            "import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)"
            f"; s.bind(('{LOOPBACK}', {port})); s.listen(); sys.stdin.read()"
        )
        other = subprocess.Popen([sys.executable, "-c", share], stdin=subprocess.PIPE, text=True)
        try:
            assert wait_until(lambda: len(listeners(port) or ()) == 2, 20)
            both = listeners(port) or []
            assert not owned_by(both, [os.getpid()])
            assert not owned_by(both, [other.pid])
            assert owned_by(both, [os.getpid(), other.pid])
        finally:
            other.communicate("")


def test_the_first_planning_day_is_written_by_the_first_start_and_kept(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StackFolder(tmp_path)
    folder.make()
    reserved = reserve_ports(folder)
    ports = {name: one.port for name, one in reserved.items()}
    for one in reserved.values():
        one.release()
    first = make_variables(folder, postgres, ports)
    assert first["FIRST_PLANNING_DAY"] == str(Settings().calendar.day_of(datetime.now(UTC)))
    assert first["RESULTS_EVERY_SECONDS"] == "5"
    write_env_file(folder.env_file, first | {"FIRST_PLANNING_DAY": "2026-06-15"})
    assert make_variables(folder, postgres, ports)["FIRST_PLANNING_DAY"] == "2026-06-15"
    monkeypatch.setenv("FIRST_PLANNING_DAY", "2026-06-01")
    assert make_variables(folder, postgres, ports)["FIRST_PLANNING_DAY"] == "2026-06-01"
