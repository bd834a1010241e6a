"""Sends mails in a loop with aiosmtplib, as a limit: `bare_smtp.py PORT CONNECTIONS MAILS FILE`.

Prints seconds and CPU seconds.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from pathlib import Path

import aiosmtplib


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _send(port: int, connections: int, mails: int, content: bytes) -> tuple[float, float]:
    left = iter(range(mails))
    clients = [aiosmtplib.SMTP(hostname="127.0.0.1", port=port) for _ in range(connections)]
    await asyncio.gather(*(client.connect(use_tls=False, start_tls=False) for client in clients))

    async def loop(client: aiosmtplib.SMTP) -> None:
        for number in left:
            await client.sendmail("ann@sender.example", [f"c{number}@people.example"], content)

    began, starting = time.perf_counter(), _cpu_seconds()
    await asyncio.gather(*map(loop, clients))
    seconds, used = time.perf_counter() - began, _cpu_seconds() - starting
    await asyncio.gather(*(client.quit() for client in clients))
    return seconds, used


if __name__ == "__main__":
    port, connections, mails = map(int, sys.argv[1:4])
    print(*asyncio.run(_send(port, connections, mails, Path(sys.argv[4]).read_bytes())))
