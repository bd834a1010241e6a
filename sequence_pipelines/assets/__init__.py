"""The assets, a file each, with their checks beside them; the source tables as external assets."""

from typing import Any

import dagster as dg

from sequence_pipelines.partitions import planning_days

OWNERS = ["team:sequences"]
PLANNING, DISPATCH, RESULTS, SOURCES = "planning", "dispatch", "results", "sources"

# Dagster's default backfill policy, one run a day, is the one wanted: each day shows its own outcome.
EACH_DAY: dict[str, Any] = {"partitions_def": planning_days, "owners": OWNERS}

source_tables = [
    dg.AssetSpec(
        "sequences_contacts",
        group_name=SOURCES,
        kinds={"postgres"},
        owners=OWNERS,
        description="Enrolments: where each contact stands in a sequence. Written by the Sequence API.",
    ),
    dg.AssetSpec(
        "sequences",
        group_name=SOURCES,
        kinds={"postgres"},
        owners=OWNERS,
        description="Sequences and their steps. Written by the Sequence API.",
    ),
    dg.AssetSpec(
        "mailboxes",
        group_name=SOURCES,
        kinds={"postgres"},
        owners=OWNERS,
        description="Mailboxes with their limits and windows. Written by the Sequence API.",
    ),
    dg.AssetSpec(
        "contacts",
        group_name=SOURCES,
        kinds={"postgres"},
        owners=OWNERS,
        tags={"pii": "true"},
        description="Contacts and their addresses. Written by the Sequence API.",
    ),
    dg.AssetSpec(
        "sends_queue",
        group_name=DISPATCH,
        kinds={"sqs"},
        owners=OWNERS,
        deps=["timed_messages"],
        description="SQS queue of timed messages; the step mailing worker takes them at their minute.",
    ),
    dg.AssetSpec(
        "delivery_results_queue",
        group_name=RESULTS,
        kinds={"sqs"},
        owners=OWNERS,
        deps=["sends_queue"],
        description="SQS queue on which workers report outcomes.",
    ),
]
