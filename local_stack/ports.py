"""Reserves ports on loopback, for this stack alone, and tells which process listens on a port.

A reservation is a name in Linux's abstract socket namespace, which all stacks of this machine share, and a
socket that listens on the port, so that no other program can. Before its own program starts, the socket stops
listening and stays bound: the program can bind the port, since all our servers set SO_REUSEADDR, and a
program that asks for any port does not get it. Both sockets end with the process that holds them.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

LOOPBACK = "127.0.0.1"
STEP = 100  # between two candidates, so that a second stack has 3100, 4100 and 8100
LARGEST_PORT = 65_535
_LOCK = "\0sequence-pipelines/port/{}"
_LISTENING = "0A"
_ANY_OR_LOOPBACK = {LOOPBACK, "0.0.0.0", "::"}  # noqa: S104  (compared, not bound)


@dataclass(frozen=True)
class Reservation:
    """A port that no other stack chooses until `release`."""

    port: int
    _sockets: tuple[socket.socket, ...]

    def hand_over(self) -> None:
        """Let a program that sets SO_REUSEADDR listen on the port."""
        with suppress(OSError):  # it was handed over before
            self._sockets[-1].shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        for held in self._sockets:
            held.close()


def reserve(preferred: int, *, avoid: Container[int] = ()) -> Reservation:
    """Reserve the preferred port, or the first free one of the ports STEP, 2 STEP, … above it, or any."""
    for port in _candidates(preferred):
        if port not in avoid and (reservation := _try_reserve(port)):
            return reservation
    raise OSError(f"No port on {LOOPBACK} is free.")


def _candidates(preferred: int) -> Iterator[int]:
    if preferred > 0:
        yield from range(preferred, LARGEST_PORT + 1, STEP)
    for _ in range(LARGEST_PORT):
        yield free_port()


def _try_reserve(port: int) -> Reservation | None:
    sockets: list[socket.socket] = []
    try:
        if Path("/proc/net/unix").exists():  # only Linux has abstract names
            sockets.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            sockets[-1].bind(_LOCK.format(port))
        sockets.append(socket.socket())
        sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sockets[-1].bind((LOOPBACK, port))
        sockets[-1].listen(1)
    except OSError:
        for opened in sockets:
            opened.close()
        return None
    return Reservation(port, tuple(sockets))


def is_free(port: int) -> bool:
    """Return whether a server can bind the port now; connections in TIME_WAIT do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Return whether a server accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_port(preferred: int = 0, *, avoid: Container[int] = ()) -> int:
    """Return the preferred port, or any free port if it is taken or in `avoid`. Nothing reserves it."""
    if preferred and preferred not in avoid and is_free(preferred):
        return preferred
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in avoid:
            return port


@dataclass(frozen=True)
class Listener:
    """A listening socket, by the number of its inode, and the user that created it."""

    inode: str
    uid: int


def listeners(port: int) -> list[Listener] | None:
    """Return the sockets that accept connections to LOOPBACK on the port; None if the system has no list."""
    found: list[Listener] = []
    tables = [table for table in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")) if table.exists()]
    for table in tables:
        for line in table.read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
            host, _, number = local.partition(":")
            if state == _LISTENING and int(number, 16) == port and _address(host) in _ANY_OR_LOOPBACK:
                found.append(Listener(inode, int(uid)))
    return found if tables else None


def _address(text: str) -> str:
    """Read an address of /proc/net/tcp: 32-bit words in the byte order of the machine (little-endian)."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    if len(words) == 1:
        return str(IPv4Address(words[0]))
    address = IPv6Address(b"".join(words))
    return str(address.ipv4_mapped or address)


def sockets_of(pid: int) -> set[str] | None:
    """Return the inodes of a process's sockets; None if this process may not see them."""
    inodes: set[str] = set()
    try:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                kind, _, inode = str(file.readlink()).partition(":[")
                if kind == "socket":
                    inodes.add(inode.rstrip("]"))
    except PermissionError:
        return None
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return inodes


def owned_by(found: Collection[Listener], pids: Collection[int]) -> bool:
    """Return whether the processes have all these sockets; where they cannot be seen, whether their user has.

    More than one process can listen on a port if both set SO_REUSEPORT, as gRPC does.
    """
    hidden: set[int] = set()
    own: set[str] = set()
    for pid in pids:
        sockets = sockets_of(pid)
        if sockets is None:
            hidden.add(Path(f"/proc/{pid}").stat().st_uid)
        else:
            own |= sockets
    return all(one.inode in own or one.uid in hidden for one in found)
