"""Planning: pure, DataFrames in, DataFrames out; no database, no Dagster.

The four files in the order of the algorithm, and of reading:

1. `windows`: when is each mailbox open today?
2. `capacity`: how many mails fit in there?
3. `allocation`: which contact gets a mail, from which mailbox? (the optimum, and a reason for who waits)
4. `pacing`: at which second?

`give_mailboxes` and `give_times` run the last two on what the first two found; `ordering` is what they sort with.
Instants are int64 seconds since the epoch, days int64 days since the epoch, ids int64.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.allocation import UNBOUNDED, allocate
from sequence_pipelines.planning.engine.pacing import pace
from sequence_pipelines.planning.engine.windows import misconfigured


def find_mailbox_capacity(
    mailboxes: pd.DataFrame, open_intervals: pd.DataFrame, first_mails: pd.DataFrame, opens: int
) -> pd.DataFrame:
    """Return what each mailbox offers: mailbox_id, load, capacity, first_mails, state.

    `pieces` come from `capacity`; `first_mails` counts this planning day's by mailbox_id. State is empty where
    the mailbox is open today, else why it is not.
    """
    by_mailbox = (
        open_intervals.groupby("mailbox_id")[["used", "capacity"]]
        .sum()
        .reindex(mailboxes["mailbox_id"], fill_value=0)
    )
    begun = (
        first_mails.groupby("mailbox_id")["first_mails"].sum().reindex(mailboxes["mailbox_id"], fill_value=0)
    )
    bound = mailboxes["max_first_mails"].fillna(UNBOUNDED).to_numpy() - begun.to_numpy()
    state = np.select(
        [
            ~mailboxes["is_active"].to_numpy(bool),
            misconfigured(mailboxes),
            mailboxes["mailbox_id"].isin(open_intervals["mailbox_id"]),
            mailboxes["parked_until"] > opens,
        ],
        ["mailbox_inactive", "mailbox_misconfigured", "", "mailbox_parked"],
        default="window_closed",
    )
    return pd.DataFrame(
        {
            "mailbox_id": mailboxes["mailbox_id"].to_numpy(np.int64),
            "load": by_mailbox["used"].to_numpy(np.int64),
            "capacity": by_mailbox["capacity"].to_numpy(np.int64),
            "first_mails": np.maximum(bound, 0).astype(np.int64),
            "state": state.astype(object),
        }
    )


def new_left(sequences: pd.DataFrame, first_mails: pd.DataFrame) -> pd.DataFrame:
    """Return how many first mails each sequence may still begin today: sequence_id, new_left."""
    begun = (
        first_mails.groupby("sequence_id")["first_mails"]
        .sum()
        .reindex(sequences["sequence_id"], fill_value=0)
    )
    left = sequences["max_new_per_day"].fillna(UNBOUNDED).to_numpy() - begun.to_numpy()
    return pd.DataFrame(
        {"sequence_id": sequences["sequence_id"], "new_left": np.clip(left, 0, UNBOUNDED).astype(np.int64)}
    )


def assign_mailboxes(
    candidates: pd.DataFrame, *, routes: pd.DataFrame, mailbox_capacity: pd.DataFrame, new_left: pd.DataFrame
) -> pd.DataFrame:
    """Return the candidates with mailbox_id, reason, and turn: their place in the order of service.

    Who waits has mailbox_id 0 and a reason. A follow-up whose mailbox is switched off or deleted goes to
    another mailbox of its sequence, as a new thread.
    """
    usable = mailbox_capacity["mailbox_id"][(mailbox_capacity["state"] != "mailbox_inactive")]
    pinned = candidates["pinned_mailbox_id"].where(candidates["pinned_mailbox_id"].isin(usable), 0)
    found = allocate(candidates.assign(pinned_mailbox_id=pinned), routes, mailbox_capacity, new_left)
    return pd.concat([candidates, found], axis=1)


def assign_times(
    served: pd.DataFrame, *, mailboxes: pd.DataFrame, open_intervals: pd.DataFrame, slots: pd.DataFrame
) -> pd.DataFrame:
    """Return what `give_mailboxes` gave with send_day, send_at and window_ends (0: waits) instead of the turn."""
    plan = served.drop(columns="turn")
    in_turn = np.empty(len(plan), dtype=np.int64)
    in_turn[served["turn"]] = np.arange(len(plan))
    mailbox_ids = plan["mailbox_id"].to_numpy()
    placed = in_turn[mailbox_ids[in_turn] > 0]
    paced = pace(
        mailbox_ids[placed],
        mailboxes,
        open_intervals.sort_values(["mailbox_id", "opens"], ignore_index=True),
        slots,
    )
    for column in ("send_day", "send_at", "window_ends"):
        values = np.zeros(len(plan), dtype=np.int64)
        values[placed] = paced[column].to_numpy()
        plan[column] = values
    return plan
