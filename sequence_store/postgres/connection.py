"""Connections: psycopg 3 on plain postgresql:// URLs, UTC sessions, named in pg_stat_activity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from pydantic import SecretStr

if TYPE_CHECKING:
    from psycopg.rows import TupleRow


# A peer that vanished without a word (a failover, a cut network) is noticed within a minute, not after hours.
KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,  # milliseconds
}
# A program that hangs between two statements holds its locks no longer than this: a plan of ten million pauses for seconds.
SESSION = "-c timezone=UTC -c idle_in_transaction_session_timeout=10min"


def plain_url(url: str | SecretStr) -> str:
    """Return a libpq URL: without SQLAlchemy's driver name, which people often copy along."""
    text = url.get_secret_value() if isinstance(url, SecretStr) else url
    scheme, separator, rest = text.partition("://")
    return scheme.partition("+")[0] + separator + rest


def connect(url: str | SecretStr, *, name: str, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
    """Open a connection; the session's zone is UTC, `name` its application_name, and it may idle in a transaction for 10 minutes."""
    return psycopg.connect(
        plain_url(url),
        autocommit=autocommit,
        application_name=name,
        connect_timeout=10,
        options=SESSION,
        **KEEPALIVES,
    )
