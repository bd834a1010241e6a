"""Tests of the choice of ports, and of the variables that a start keeps."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local_stack.env_file import write_env_file
from local_stack.folder import StackFolder
from local_stack.ports import LOOPBACK, free_port, is_free
from local_stack.postgres import Postgres
from local_stack.variables import choose_ports, make_variables
from sequence_store.settings import Settings


def test_taken_port_is_avoided() -> None:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        taken = server.getsockname()[1]
        assert not is_free(taken)
        assert free_port(taken) != taken
    assert free_port(taken) == taken


def test_port_taken_on_all_addresses_is_avoided() -> None:
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        assert not is_free(server.getsockname()[1])


def test_chosen_ports_differ_and_are_kept(tmp_path: Path) -> None:
    folder = StackFolder(tmp_path)
    folder.make()
    chosen = choose_ports(folder)
    assert len(set(chosen.values())) == len(chosen)
    assert choose_ports(folder) == chosen


def test_the_first_planning_day_is_written_by_the_first_start_and_kept(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StackFolder(tmp_path)
    folder.make()
    ports = choose_ports(folder)
    first = make_variables(folder, postgres, ports)
    assert first["FIRST_PLANNING_DAY"] == str(Settings().calendar.day_of(datetime.now(UTC)))
    assert first["RESULTS_EVERY_SECONDS"] == "5"
    write_env_file(folder.env_file, first | {"FIRST_PLANNING_DAY": "2026-06-15"})
    assert make_variables(folder, postgres, ports)["FIRST_PLANNING_DAY"] == "2026-06-15"
    monkeypatch.setenv("FIRST_PLANNING_DAY", "2026-06-01")
    assert make_variables(folder, postgres, ports)["FIRST_PLANNING_DAY"] == "2026-06-01"
