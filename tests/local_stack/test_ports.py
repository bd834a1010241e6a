"""Tests of the choice of ports."""

from __future__ import annotations

import socket
from pathlib import Path

from local_stack.folder import StackFolder
from local_stack.ports import LOOPBACK, free_port, is_free
from local_stack.variables import choose_ports


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
