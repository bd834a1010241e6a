"""Tests of the hosts and ports that a mailbox may name as its mail server."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from sequence_store.networks import is_private
from step_mailing_worker.networks import IMAP_PORTS, SMTP_PORTS, refusal

OURS = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "169.254.169.254"),
    *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1"),
    *(
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "::7f00:1",
    ),
    "2001:0:7f00:1::",
]


@pytest.mark.parametrize("address", OURS)
def test_address_of_our_own_networks_is_private_also_by_a_detour(address: str) -> None:
    assert is_private((address, 25))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2a00:1450:4001:80b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_address_of_the_open_internet_is_not(address: str) -> None:
    assert not is_private((address, 25))


def test_peer_that_nobody_knows_is_private() -> None:
    assert is_private(None)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "localhost", "::ffff:127.0.0.1"]
)
def test_however_loopback_is_written_it_is_refused(host: str) -> None:
    assert refusal(host, 587, SMTP_PORTS) == "private_host"


def _resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def resolve(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_name_with_one_public_and_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, "8.8.8.8", "10.0.0.1")
    assert refusal("mail.example.com", 587, SMTP_PORTS) == "private_host"


@pytest.mark.parametrize("port", [0, 22, 80, 443, 5432, 6379, 8000, 65_535])
def test_port_of_another_service_is_refused(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    _resolving(monkeypatch, "8.8.8.8")
    assert refusal("mail.example.com", port, SMTP_PORTS) == "port_not_for_mail"
    assert refusal("mail.example.com", port, IMAP_PORTS) == "port_not_for_mail"


def test_ports_of_mail_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, "8.8.8.8")
    assert {refusal("mail.example.com", port, SMTP_PORTS) for port in (25, 465, 587, 2525)} == {None}
    assert {refusal("mail.example.com", port, IMAP_PORTS) for port in (143, 993)} == {None}
