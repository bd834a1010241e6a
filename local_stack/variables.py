"""Makes the variables that a program needs to use the stack; each start writes them to `stack.env`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from local_stack.env_file import read_env_file
from local_stack.folder import MARK, StackFolder
from local_stack.ports import LOOPBACK, Reservation, reserve
from local_stack.postgres import OWNER, Postgres
from sequence_store.loopback import without_proxy
from sequence_store.settings import Settings, read_settings

DATABASE = "sequences"
DAGSTER_DATABASE = "dagster"
DAGSTER_ROLE = "dagster"
PREFERRED_PORTS = {
    "postgres": 5432,
    "valkey": 6379,
    "sqs": 4566,
    "smtp": 1025,
    "mail": 8025,
    "api": 8000,
    "dagster": 3000,
    "dagster_code": 4000,
}
REGION = "us-east-1"
RESULTS_EVERY_SECONDS = "5"  # a person who watches a mail sees its contact advance soon
# Longer than Dagster's defaults of 5 s (retries of runs) and 30 s (freshness of assets): saves CPU time.
DAEMON_INTERVALS = {
    "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "30",
    "FRESHNESS_DAEMON_INTERVAL_SECONDS": "300",
}
# Servers that a user may name; boto3 and pyarrow read these variables.
AMAZON_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SECRETS_MANAGER")
_OWN_KEYS = {"AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
_KEYS = (*_OWN_KEYS, "AWS_SESSION_TOKEN")
# Prefixes of the user's variables that the programs must not see: they name another account or server.
_HIDDEN = ("AWS_", "PG")


def reserve_ports(folder: StackFolder) -> dict[str, Reservation]:
    """Reserve a port for each server: the previous start's, else the preferred one, else another.

    The caller holds the reservations as long as the stack runs, also while a server restarts.
    """
    reserved: dict[str, Reservation] = {}
    for name, port in (PREFERRED_PORTS | _last_ports(folder)).items():
        reserved[name] = reserve(port, avoid=[one.port for one in reserved.values()])
    chosen = {name: one.port for name, one in reserved.items()}
    folder.ports_file.write_text(json.dumps(chosen, indent=2))
    return reserved


def _last_ports(folder: StackFolder) -> dict[str, int]:
    try:
        last = json.loads(folder.ports_file.read_text())
        return {name: int(port) for name, port in last.items() if name in PREFERRED_PORTS}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):  # no start yet, or a damaged file
        return {}


def make_variables(folder: StackFolder, postgres: Postgres, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the variables that a program needs to use the stack."""
    return {
        **_database_variables(postgres),
        "FIRST_PLANNING_DAY": _first_planning_day(folder),
        "RESULTS_EVERY_SECONDS": os.environ.get("RESULTS_EVERY_SECONDS", RESULTS_EVERY_SECONDS),
        "AWS_ENDPOINT_URL_SQS": http_url(ports["sqs"]),
        **_amazon_variables(http_url(ports["sqs"])),
        "VALKEY_URL": f"valkey://{LOOPBACK}:{ports['valkey']}/0",
        "SMTP_HOST": LOOPBACK,
        "SMTP_PORT": str(ports["smtp"]),
        "SMTP_SECURITY": "none",
        "MAIL_SINK_URL": http_url(ports["mail"]),
        "MAIL_SINK_DIR": str(folder.path / "mail"),
        "API_HOST": LOOPBACK,
        "API_PORT": str(ports["api"]),
        "API_URL": http_url(ports["api"]),
        "PUBLIC_URL": http_url(ports["api"]),
        "ASSET_STORE": _asset_store(folder),
        "DAGSTER_HOME": str(folder.path / "dagster"),
        "DAGSTER_URL": http_url(ports["dagster"]),
        "DAGSTER_CODE_HOST": LOOPBACK,
        "DAGSTER_CODE_PORT": str(ports["dagster_code"]),
    }


def _amazon_variables(own_server: str) -> dict[str, str]:
    """Return where S3 and Secrets Manager are, and the keys: the user's server and keys if one is named.

    The stack's own server has both services, and forgets what they store when it stops.
    """
    of_a_stack = os.environ.get("AWS_ENDPOINT_URL_SQS")  # the user's shell has read a stack.env
    named = {
        name: os.environ[name]
        for name in AMAZON_ENDPOINTS
        if os.environ.get(name) and os.environ[name] != of_a_stack
    }
    keys = {name: os.environ[name] for name in _KEYS if named and os.environ.get(name)}
    return dict.fromkeys(AMAZON_ENDPOINTS, own_server) | named | _OWN_KEYS | keys


def _asset_store(folder: StackFolder) -> str:
    """Return the user's `s3://…`, or the stack's folder: that of another stack must not be used."""
    wanted = os.environ.get("ASSET_STORE", "")
    return wanted if wanted.startswith("s3://") else str(folder.path / "assets")


def _first_planning_day(folder: StackFolder) -> str:
    """Return the day of the stack's first start, which later starts keep."""
    kept = os.environ.get("FIRST_PLANNING_DAY") or read_env_file(folder.env_file).get("FIRST_PLANNING_DAY")
    return kept or read_settings(Settings).calendar.day_of(datetime.now(UTC)).isoformat()


def _database_variables(postgres: Postgres) -> dict[str, str]:
    roles = ("api", "pipeline", "worker", "readonly")
    dagster = postgres.url(DAGSTER_ROLE, DAGSTER_DATABASE)
    return {
        "DATABASE_URL": postgres.url(OWNER, DATABASE),
        **{f"{role.upper()}_DATABASE_URL": postgres.url(f"sequence_{role}", DATABASE) for role in roles},
        # Dagster's storage supports only psycopg 2.
        "DAGSTER_DATABASE_URL": dagster.replace("postgresql://", "postgresql+psycopg2://", 1),
    }


def http_url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def program_environment(folder: StackFolder, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the programs' environment: the user's variables, overridden by the stack's."""
    users = {k: v for k, v in os.environ.items() if not k.startswith(_HIDDEN) or k == "PG_BIN"}
    return {
        **users,
        **variables,
        MARK: str(folder.path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        **DAEMON_INTERVALS,
        **without_proxy(os.environ),
        "PYTHONUNBUFFERED": "1",
    }
