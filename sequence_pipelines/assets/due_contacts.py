"""Due contacts: the enrolments that are due by the current planning day."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import numpy as np
import pandas as pd

from sequence_pipelines.assets import EACH_DAY, PLANNING
from sequence_pipelines.planning.engine.eligibility import choose_candidates
from sequence_pipelines.planning.engine.windows import epoch_day
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.snapshot_reader import planning_day_at, read_due
from sequence_pipelines.reporting import column_schemas as columns
from sequence_pipelines.reporting.frames import with_timestamps
from sequence_pipelines.reporting.metadata import PREVIEW_ROWS, counts, links, reasons_table, table
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.domain.states import Deferral
from sequence_store.postgres.lookback import oldest_live
from sequence_store.settings import PipelineSettings


@dg.asset(
    **EACH_DAY,
    group_name=PLANNING,
    kinds={"postgres", "pandas"},
    deps=["sequences_contacts", "sequences", "steps", "contacts", "suppressions"],
    metadata=columns.DUE_CONTACTS,
    check_specs=[
        dg.AssetCheckSpec(
            "addresses_are_valid",
            asset="due_contacts",
            description="Every due contact has a valid address. If one has not: correct the address in the "
            "Sequence API. Until then the contact waits with the reason `invalid_address`.",
        )
    ],
)
def due_contacts(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    clock: Clock,
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """Enrolments that are due by the current planning day, each with its due step: the plan's candidates.

    Every plan takes all contacts that are due, whichever day is materialized: contacts of a missed day are
    due today. Grain: one row per enrolment (sequence and contact). Read by `send_plan`.

    **Metadata:** `contacts_due` counts all due enrolments; `fell_due_on_this_day` those whose due day is the
    materialized partition; `overdue` those with an earlier due day than today, which is `planning_day`.
    `first_mails` and `follow_ups` are those that the plan can mail; `by_step` counts them by their step, and
    `preview` shows some. `cannot_be_mailed` counts the others, and `why_not` explains their reasons.
    `without_a_step_left` counts enrolments that the plan completes. `addresses_hashed` counts contacts whose
    address got its hash for the comparison with the suppressions.
    """
    day = planning_day_at(clock.read(), settings)
    with database.connect() as connection:
        repository = PlanRepository(connection, settings.address_pads)
        hashed = repository.hash_new_addresses()
        repository.execute("give_memory")
        with ThreadPoolExecutor(max_workers=2) as executor:
            since = oldest_live(connection, settings, day.begins)
            snapshot, due, gates = read_due(repository, day, since, executor)
        candidates, ineligible, exhausted = choose_candidates(due, snapshot, gates)
    due_days = np.r_[candidates["due_day"], ineligible["due_day"]]
    fell_due = int((due_days == epoch_day(pd.Timestamp(context.partition_key).date())).sum())
    context.log.info(
        f"{len(due_days)} enrolments are due by {day.day}. {fell_due} of them fell due on "
        f"{context.partition_key}."
    )
    yield dg.Output(
        with_timestamps(candidates),
        metadata={
            "contacts_due": len(due_days),
            "planning_day": str(day.day),
            "fell_due_on_this_day": fell_due,
            "overdue": int((due_days < epoch_day(day.day)).sum()),
            "follow_ups": int(candidates["follow_up"].sum()),
            "first_mails": int((~candidates["follow_up"]).sum()),
            "without_a_step_left": len(exhausted),
            "cannot_be_mailed": len(ineligible),
            "why_not": reasons_table(ineligible),
            "addresses_hashed": hashed,
            "preview": table(candidates.drop(columns=["due_day", "waits_since"]).head(PREVIEW_ROWS)),
            **links(settings, "was-today-planned"),
            "by_step": table(
                pd.DataFrame(
                    sorted(counts(candidates, "step_number").items()), columns=["step_number", "contacts"]
                )
            ),
        },
    )
    bad = ineligible[ineligible["reason"] == Deferral.INVALID_ADDRESS]
    yield dg.AssetCheckResult(
        check_name="addresses_are_valid",
        passed=bad.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "contacts": len(bad),
            "which": table(bad[["sequence_id", "contact_id"]].head(PREVIEW_ROWS)),
        },
    )
