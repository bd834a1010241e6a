"""Says what to do about a fault in the words of the deployment that a program runs in.

SEQUENCE_DEPLOYMENT names the deployment. Compose and the Kubernetes manifests set it; the default is the
local stack.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

STACK, COMPOSE, KUBERNETES = "stack", "compose", "kubernetes"

Situation = Literal["settings", "queues", "database", "password", "default_password", "old_database"]

_ADVICE: Mapping[str, Mapping[Situation, str]] = MappingProxyType(
    {
        STACK: {
            "settings": "Set it in the environment (docs/settings.md), or run `sequences stack up`, which "
            "starts a local stack and writes its settings to .local/stack.env.",
            "queues": "Create them with `sequences stack up` or your deployment.",
            "database": "Start it: `make run` or `sequences stack up`.",
            "password": "Correct the password in the URL. `sequences stack up` starts a local database.",
            "default_password": "Choose a password of your own and name it in the URL.",
            "old_database": "Delete it with `make clean` and start again.",
        },
        COMPOSE: {
            "settings": "Set it in `.env` beside docker-compose.yaml (deploy/.env.example), then run "
            "`docker compose up -d`.",
            "queues": "Create them with deploy/terraform, or use the service `sqs`: "
            "`docker compose up -d sqs`.",
            "database": "Look at `docker compose ps postgres` and `docker compose logs postgres`.",
            "password": "Postgres keeps the passwords of its first start, so `.env` must have those. "
            "To go from a trial to production, remove the trial: `docker compose down --volumes`. "
            "This deletes its database (contacts, sequences, the record of sent mails), "
            "the sink's mails and Dagster's run history. Then run `docker compose up --build -d`.",
            "default_password": "Set OWNER_PASSWORD, API_PASSWORD, PIPELINE_PASSWORD, WORKER_PASSWORD, "
            "READONLY_PASSWORD, DAGSTER_PASSWORD and VALKEY_PASSWORD in `.env` beside docker-compose.yaml: "
            "`sh deploy/secrets.sh >> .env` generates all secrets.",
            "old_database": "Remove it with `docker compose down --volumes`, which deletes all data, "
            "and start again.",
        },
        KUBERNETES: {
            "settings": "Set it in the ConfigMap sequence-settings or in the secret of the process "
            "(docs/kubernetes.md), then restart its deployment.",
            "queues": "Create them with deploy/terraform, and use the names that it prints.",
            "database": "Check the URL in the secret of the process, and the network policy "
            "sequence-nothing-else.",
            "password": "Correct the URL in the secret of the process. `sequences migrate` never changes the "
            "password of an existing role.",
            "default_password": "Give the role another password, and correct the URL in the secret of the "
            "process.",
            "old_database": "Create an empty database and name it in the secrets.",
        },
    }
)


def deployment() -> str:
    """Return the deployment's kind; an unknown one counts as the local stack."""
    kind = os.environ.get("SEQUENCE_DEPLOYMENT", STACK)
    return kind if kind in _ADVICE else STACK


def advice(situation: Situation) -> str:
    """Return what to do about a fault, in one or more sentences."""
    return _ADVICE[deployment()][situation]
