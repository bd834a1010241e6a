"""Shows which mailbox has a problem: its state, the reason, until when, and a link to it in the API."""

from __future__ import annotations

import dagster as dg
import pandas as pd

from sequence_pipelines.planning.engine.snapshot import PlanningSnapshot
from sequence_pipelines.planning.repository import PlanRepository
from sequence_store.domain.explanations import explain
from sequence_store.domain.states import Deferral
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings

MOST_SHOWN = 50
OPEN = "open"
# A closed window is no problem: the mailbox opens by itself.
PROBLEMS = (Deferral.MAILBOX_PARKED, Deferral.MAILBOX_MISCONFIGURED, Deferral.MAILBOX_INACTIVE)
_HEADINGS = ("mailbox", "domain", "state", "reason", "until", "sent or planned", "still fits")


def read_mailbox_states(repository: PlanRepository, snapshot: PlanningSnapshot) -> pd.DataFrame:
    """Return the live mailboxes, those with a problem first; no address.

    Columns: external_id, domain, state (`open` or a wait reason), reason, until (UTC, or NaT), used, capacity
    (mails of the current planning day).
    """
    rows = repository.connection.execute(query("health", "read_mailbox_states")).fetchall()
    columns = ["mailbox_id", "external_id", "domain", "parked_until", "parked_reason"]
    capacity = snapshot.mailbox_capacity.set_index("mailbox_id")
    found = pd.DataFrame(rows, columns=columns).merge(
        capacity[["state", "load", "capacity"]], left_on="mailbox_id", right_index=True
    )
    found["state"] = found["state"].replace("", OPEN)
    parked = found["state"] == Deferral.MAILBOX_PARKED
    found["until"] = pd.to_datetime(found["parked_until"], utc=True, errors="coerce").where(parked)
    found["reason"] = found["parked_reason"].where(parked, "").fillna("")
    order = {state: rank for rank, state in enumerate(PROBLEMS)}
    found["rank"] = found["state"].map(order).fillna(len(order))
    found = found.sort_values(["rank", "until", "mailbox_id"], ignore_index=True)
    return found.rename(columns={"load": "used"})[
        ["external_id", "domain", "state", "reason", "until", "used", "capacity"]
    ]


def count_problems(states: pd.DataFrame) -> int:
    """Count the mailboxes that a person has to look at."""
    return int(states["state"].isin(PROBLEMS).sum())


def mailbox_states_page(states: pd.DataFrame, settings: PipelineSettings) -> dg.MarkdownMetadataValue:
    """Return the first MOST_SHOWN mailboxes as a table with links to the Sequence API."""
    if states.empty:
        return dg.MetadataValue.md("There is no mailbox.")
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|" + "---|" * len(_HEADINGS)]
    for row in states.head(MOST_SHOWN).to_dict("records"):
        link = f"[{row['external_id']}]({settings.api_link}/mailboxes/{row['external_id']})"
        until = "" if pd.isna(row["until"]) else f"{row['until']:%Y-%m-%d %H:%M} UTC"
        state = str(row["state"])
        numbers = row["used"], row["capacity"]
        cells = (link, row["domain"], state.replace("_", " "), _reason(state, row["reason"]), until, *numbers)
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    if len(states) > MOST_SHOWN:
        lines += ["", f"{len(states) - MOST_SHOWN} more mailboxes are not shown."]
    return dg.MetadataValue.md("\n".join(lines))


def _reason(state: str, reason: str) -> str:
    if state == OPEN:
        return ""
    return f"{reason}: {explain(reason)}" if reason else explain(state)
