"""What planning reads from Postgres and writes to it: arrays and DataFrames on this side, SQL on the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from psycopg.rows import dict_row

from sequence_pipelines.copy_binary import read_columns, write_columns
from sequence_pipelines.planning.windows import epoch_day, from_epoch_day
from sequence_store.queries import query

ENROLMENT_COLUMNS = (
    "sequence_id",
    "contact_id",
    "round",
    "current_step",
    "due_day",
    "pinned_mailbox_id",
    "follow_up",
    "gate",
)
GATES = ("", "contact_inactive", "suppressed", "invalid_address")
PLACE_COLUMNS = ("mailbox_id", "send_day", "send_at", "sequence_id", "contact_id", "today")
SEND_TYPES = ("int8", "int8", "int8", "int2", "int8", "date", "date", "date", "timestamptz", "timestamptz")
LOOK_BACK = timedelta(days=2)  # a send lives for a planning day and its grace


@dataclass(frozen=True)
class Ledger:
    """One transaction's view of the ledger; `pads` is the key of the suppressions' HMAC."""

    connection: psycopg.Connection[Any]
    pads: bytes

    def execute(self, name: str, **parameters: Any) -> psycopg.Cursor[Any]:
        return self.connection.execute(query("plan", name), parameters)

    def frame(self, name: str, **parameters: Any) -> pd.DataFrame:
        """Run a named query and return its rows; an empty result keeps its columns."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query("plan", name), parameters)
            columns = [column.name for column in cursor.description or ()]
            return pd.DataFrame(cursor.fetchall(), columns=columns)

    def oldest_live(self, day_starts: datetime) -> datetime:
        """Return an instant before which no send can be live or not yet advanced."""
        row = self.execute("read_last_send_before", before=day_starts).fetchone()
        return min(day_starts, row[0] if row else day_starts) - LOOK_BACK

    def mailboxes(self) -> pd.DataFrame:
        """Return the live mailboxes; parked_until in epoch seconds, 0 where it is not parked."""
        frame = self.frame("read_mailboxes")
        numbers = ("ramp_up_start", "ramp_up_daily_increment", "ramp_up_started", "max_first_mails")
        return frame.assign(
            parked_until=frame["parked_until"].astype(np.int64),
            # a null beside names would come out as NaN
            holiday_calendar=frame["holiday_calendar"]
            .astype(object)
            .where(frame["holiday_calendar"].notna(), None),
            **{name: pd.to_numeric(frame[name]).astype(np.float64) for name in numbers},
        ).astype(dict.fromkeys(("mailbox_id", "send_limit", "min_gap_seconds"), np.int64))

    def sequences(self) -> pd.DataFrame:
        frame = self.frame("read_sequences")
        bound = pd.to_numeric(frame["max_new_per_day"]).astype(np.float64)
        return frame.assign(max_new_per_day=bound).astype({"sequence_id": np.int64, "priority": np.int64})

    def routes(self) -> pd.DataFrame:
        return self.frame("read_routes").astype(np.int64)

    def candidates(self, day: date, since: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the enrolments that are due by `day` with their due step, and those that have none left.

        Columns: sequence_id, contact_id, round, due_day (epoch day), pinned_mailbox_id (0: none), follow_up,
        gate (an index of GATES), step_id, step_number. Enrolments of deleted sequences are left out.
        """
        types = ("int8", "int8", "int4", "int4", "int4", "int8", "int4", "int4")
        parameters = {"day": day, "since": since, "pads": self.pads}
        columns = read_columns(self.connection, query("plan", "copy_due"), parameters, types)
        enrolments = pd.DataFrame(dict(zip(ENROLMENT_COLUMNS, columns, strict=True)))
        enrolments["follow_up"] = enrolments["follow_up"].astype(bool)
        steps = self.frame("read_steps").astype(np.int64)
        mailed = self.frame("read_mailed_ahead", day=day)
        known = enrolments["sequence_id"].isin(self.frame("read_sequences")["sequence_id"])
        return find_due_steps(enrolments[known].reset_index(drop=True), steps, mailed)

    def complete(self, ended: pd.DataFrame) -> int:
        return self.execute(
            "complete_enrolments",
            sequence_ids=ended["sequence_id"].tolist(),
            contact_ids=ended["contact_id"].tolist(),
        ).rowcount

    def places(self, day: date, since: datetime) -> pd.DataFrame:
        """Return every row that counts against a limit from `since` on; times in epoch days and seconds."""
        types = ("int8", "int4", "int8", "int8", "int8", "int4")
        parameters = {"day": day, "since": since}
        columns = read_columns(self.connection, query("plan", "copy_places"), parameters, types)
        return pd.DataFrame(dict(zip(PLACE_COLUMNS, columns, strict=True)))

    def first_mails(
        self, day: date, since: datetime, sequence_ids: list[int], mailbox_ids: list[int]
    ) -> pd.DataFrame:
        """Return this planning day's first mails by sequence_id and mailbox_id, where something bounds them."""
        if not (sequence_ids or mailbox_ids):
            return pd.DataFrame(columns=["sequence_id", "mailbox_id", "first_mails"], dtype=np.int64)
        return self.frame(
            "count_first_mails", day=day, since=since, sequence_ids=sequence_ids, mailbox_ids=mailbox_ids
        ).astype(np.int64)

    def enter(self, plan: pd.DataFrame) -> int:
        """Write the plan's new places; return how many rows entered or were retaken."""
        if plan.empty:
            return 0
        ordered = plan.sort_values(["send_at", "sequence_id", "contact_id"])
        names = (
            *("sequence_id", "contact_id", "step_id", "round", "mailbox_id"),
            *("due_day", "plan_day", "send_day", "send_at", "not_after"),
        )
        self.execute("stage_sends")
        columns = [ordered[name].to_numpy(np.int64) for name in names]
        write_columns(self.connection, query("plan", "copy_staged_sends"), columns, SEND_TYPES)
        return self.execute("enter_staged_sends").rowcount

    def allow(self, days: pd.DataFrame) -> None:
        """Tell the gate before DATA each mailbox's limit: mailbox_id, send_day (epoch day), allowed."""
        self.execute(
            "allow_days",
            mailbox_ids=days["mailbox_id"].tolist(),
            send_days=[from_epoch_day(d) for d in days["send_day"]],
            allowed=days["allowed"].tolist(),
        )

    def defer(self, waiting: pd.DataFrame, day: date, since: datetime) -> None:
        """Replace the deferrals by `waiting`: sequence_id, contact_id, reason."""
        self.execute("stage_deferrals")
        with self.connection.cursor() as cursor, cursor.copy(query("plan", "copy_staged_deferrals")) as copy:
            copy.write(
                waiting.to_csv(
                    columns=["sequence_id", "contact_id", "reason"], sep="\t", header=False, index=False
                )
            )
        self.execute("stage_unknown_deferrals", since=since, day=day)
        self.execute("drop_deferrals")
        self.execute("enter_deferrals", day=day)


def find_due_steps(
    enrolments: pd.DataFrame, steps: pd.DataFrame, mailed: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split enrolments into those with a due step (step_id, step_number added) and those with none left.

    The due step is the lowest live one at or above current_step that was not mailed in this round.
    """
    sequence_ids = np.unique(steps["sequence_id"].to_numpy())
    stride = 2**31
    keys = (
        np.searchsorted(sequence_ids, steps["sequence_id"].to_numpy()) * stride
        + steps["step_number"].to_numpy()
    )
    sequence = enrolments["sequence_id"].to_numpy()
    where = np.searchsorted(sequence_ids, sequence)
    position = np.searchsorted(keys, where * stride + enrolments["current_step"].to_numpy())
    done = _mailed_steps(mailed)
    if done:
        pairs = list(zip(sequence.tolist(), enrolments["contact_id"].tolist(), strict=True))
        for row in [n for n, pair in enumerate(pairs) if pair in done]:
            position[row] = _next_unmailed(steps, position[row], done[pairs[row]])
    found = position < len(steps)
    owner = steps["sequence_id"].to_numpy()
    found[found] = owner[position[found]] == sequence[found]
    due = enrolments[found].drop(columns="current_step").reset_index(drop=True)
    at = position[found]
    due = due.assign(step_id=steps["step_id"].to_numpy()[at], step_number=steps["step_number"].to_numpy()[at])
    return due, enrolments[~found]


def _mailed_steps(mailed: pd.DataFrame) -> dict[tuple[int, int], set[int]]:
    done: dict[tuple[int, int], set[int]] = {}
    for sequence_id, contact_id, step_id in mailed.itertuples(index=False):
        done.setdefault((sequence_id, contact_id), set()).add(step_id)
    return done


def _next_unmailed(steps: pd.DataFrame, position: int, mailed: set[int]) -> int:
    ids = steps["step_id"].to_numpy()
    while position < len(ids) and ids[position] in mailed:
        position += 1
    return position


def instants(seconds: np.ndarray | pd.Series) -> list[datetime]:
    """Return aware datetimes of epoch seconds."""
    return [datetime.fromtimestamp(int(s), UTC) for s in seconds]


def dates(days: np.ndarray | pd.Series) -> list[date]:
    return [from_epoch_day(d) for d in days]


def seconds_of(instant: datetime) -> int:
    """Return the first whole second at or after the instant."""
    return -int(-instant.timestamp() // 1)


__all__ = ["GATES", "Ledger", "dates", "epoch_day", "find_due_steps", "instants", "seconds_of"]
