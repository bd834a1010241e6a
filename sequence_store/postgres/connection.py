"""Opens connections with psycopg 3: plain postgresql:// URLs, UTC sessions, an application name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from pydantic import SecretStr

if TYPE_CHECKING:
    from psycopg.rows import TupleRow


# Detects a lost peer (a failover, a cut network) within a minute instead of hours.
KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,  # milliseconds
}
# Limits how long a hanging program holds its locks; a plan of ten million contacts pauses for seconds only.
SESSION = "-c timezone=UTC -c idle_in_transaction_session_timeout=10min"


def plain_url(url: str | SecretStr) -> str:
    """Return a libpq URL, without the name of SQLAlchemy's driver, which people often copy."""
    text = url.get_secret_value() if isinstance(url, SecretStr) else url
    scheme, separator, rest = text.partition("://")
    return scheme.partition("+")[0] + separator + rest


def connect(url: str | SecretStr, *, name: str, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
    """Open a UTC session; `name` is its application_name, and it may idle in a transaction for 10 minutes."""
    return psycopg.connect(
        plain_url(url),
        autocommit=autocommit,
        application_name=name,
        connect_timeout=10,
        options=SESSION,
        **KEEPALIVES,
    )
