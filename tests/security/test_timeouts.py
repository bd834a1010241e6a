"""Tests that every client in the code has timeouts: no call to another program waits for ever."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "crud_api",
    "local_stack",
    "sequence_cli",
    "sequence_pipelines",
    "sequence_store",
    "step_mailing_worker",
)
# What opens a connection, and the keyword that limits how long it waits.
LIMITED_BY = {
    "urllib.request.urlopen": ("timeout",),
    "httpx.get": ("timeout",),
    "httpx.post": ("timeout",),
    "httpx.Client": ("timeout",),
    "httpx.AsyncClient": ("timeout",),
    "boto3.client": ("config",),
    "aiobotocore.session.AioSession.create_client": ("config",),
    "valkey.Valkey.from_url": ("socket_timeout", "socket_connect_timeout"),
    "valkey.asyncio.BlockingConnectionPool.from_url": ("timeout", "socket_timeout", "socket_connect_timeout"),
    "smtplib.SMTP": ("timeout",),
    "smtplib.SMTP_SSL": ("timeout",),
    "aioimaplib.IMAP4_SSL": ("timeout",),
    "aioimaplib.IMAP4": ("timeout",),
    "socket.create_connection": ("timeout",),
    "psycopg.connect": ("connect_timeout",),
    "Config": ("connect_timeout", "read_timeout"),
    "AioConfig": ("connect_timeout", "read_timeout"),
}


def calls(package: str) -> Iterator[tuple[str, str, dict[str, ast.expr]]]:
    """Yield where a client is created, its name and its keywords."""
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in LIMITED_BY:
                keywords = {word.arg: word.value for word in node.keywords if word.arg}
                yield f"{file.relative_to(ROOT)}:{node.lineno}", name, keywords


@pytest.mark.parametrize("package", PACKAGES)
def test_every_client_has_its_timeouts_and_none_is_endless(package: str) -> None:
    found = list(calls(package))
    for where, name, keywords in found:
        for word in LIMITED_BY[name]:
            assert word in keywords, f"{where}: {name} has no {word}"
            ends = not any(
                isinstance(part, ast.Constant) and part.value is None for part in ast.walk(keywords[word])
            )
            assert ends, f"{where}: {name} waits for ever"
    assert package == "crud_api" or found
