"""Reads and writes the plan's tables: arrays and DataFrames here, named SQL statements in plan.sql."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from sequence_pipelines.planning.binary_columns import read_columns, write_columns
from sequence_pipelines.planning.engine.array_ops import key_order
from sequence_pipelines.planning.engine.eligibility import HOLD_COLUMNS
from sequence_store.domain.addresses import address_or_text
from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import Deferral, SendStatus
from sequence_store.errors import LedgerChangedError
from sequence_store.postgres.queries import query

SEND_COLUMNS = {
    "sequence_id": "int8",
    "contact_id": "int8",
    "step_id": "int8",
    "round": "int2",
    "mailbox_id": "int8",
    "due_day": "date",
    "plan_day": "date",
    "send_day": "date",
    "send_at": "timestamptz",
    "not_after": "timestamptz",
}
MAILBOX_COLUMNS = {
    "mailbox_id": "int64",
    "external_id": "object",
    "send_limit": "int64",
    "start_seconds": "int64",
    "end_seconds": "int64",
    "time_zone": "object",
    "send_days": "object",
    "holiday_calendar": "object",
    "min_gap_seconds": "int64",
    "max_first_mails": "float64",
    "ramp_up_start": "float64",
    "ramp_up_daily_increment": "float64",
    "ramp_up_started": "float64",
    "is_active": "bool",
    "parked_until": "int64",
}
KEY = ["sequence_id", "contact_id", "step_id", "round"]
REASONS = [reason.value for reason in Deferral]
DAY_COLUMNS = (*SEND_COLUMNS, "status")  # of the frame that shows a planning day
HASHED_AT_ONCE = 20_000  # contacts in one batch
# read_due packs a row's mailbox (31 bits), due day, round and "is a follow-up" (bit 0) into one bigint.
DUE_MAILBOX_SHIFT, DUE_DAY_SHIFT, DUE_ROUND_SHIFT = 32, 16, 1
DUE_DAY_MASK, DUE_ROUND_MASK, DUE_FOLLOW_UP_MASK = 0xFFFF, 0x7FFF, 1
# read_rows packs three flags and a row's round.
ROW_PLANNED_BIT, ROW_UNDER_WAY_BIT, ROW_TODAY_BIT, ROW_ROUND_SHIFT = 0, 1, 2, 3


@dataclass(frozen=True)
class PlanRepository:
    """Runs the planning statements on one connection; `pads` is the key of the suppressions' HMAC."""

    connection: psycopg.Connection[Any]
    pads: bytes

    def execute(self, name: str, **parameters: Any) -> psycopg.Cursor[Any]:
        """Run the statement `name` of plan.sql."""
        return self.connection.execute(query("plan", name), parameters)

    def frame(self, name: str, **parameters: Any) -> pd.DataFrame:
        """Run a named query and return its rows; an empty result has the columns too."""
        cursor = self.execute(name, **parameters)
        columns = [column.name for column in cursor.description or ()]
        return pd.DataFrame(cursor.fetchall(), columns=columns)

    def table(self, name: str, columns: Sequence[str], **parameters: Any) -> pd.DataFrame:
        """Run a grouped query (see read_columns) and return its columns under these names, as int64."""
        return pd.DataFrame(
            read_columns(self.connection, query("plan", name), parameters, columns), copy=False
        )

    def mailboxes(self) -> pd.DataFrame:
        """Return the live mailboxes with MAILBOX_COLUMNS; parked_until in epoch seconds, 0 if not parked.

        A number that may be missing is a float, NaN if missing; a missing calendar is None.
        """
        return self.request_mailboxes()()

    def request_mailboxes(self) -> Callable[[], pd.DataFrame]:
        """Run the query; the returned function builds the frame while Postgres serves other threads."""
        answer = self.execute("read_mailboxes")

        def build() -> pd.DataFrame:
            rows = answer.fetchall()
            columns = zip(*rows, strict=True) if rows else [()] * len(MAILBOX_COLUMNS)
            typed = zip(MAILBOX_COLUMNS.items(), columns, strict=True)
            return pd.DataFrame({name: pd.Series(values, dtype=kind) for (name, kind), values in typed})

        return build

    def sequences(self) -> pd.DataFrame:
        """Return the live sequences; max_new_per_day is NaN if there is no bound."""
        frame = self.frame("read_sequences")
        bound = pd.to_numeric(frame["max_new_per_day"]).astype(np.float64)
        return frame.assign(max_new_per_day=bound).astype({"sequence_id": np.int64, "priority": np.int64})

    def routes(self) -> pd.DataFrame:
        """Return the mailboxes that each sequence may use, ordered: sequence_id, mailbox_id."""
        return _ordered(self.table("read_routes", ("sequence_id", "mailbox_id")))

    def steps(self) -> pd.DataFrame:
        """Return the live steps, ordered: sequence_id, step_number, step_id, delay_days."""
        return _ordered(self.table("read_steps", ("sequence_id", "step_number", "step_id", "delay_days")))

    def due(self, day: date) -> pd.DataFrame:
        """Return the active enrolments due by `day`, by sequence, step and contact.

        Columns: sequence_id, current_step, contact_id, mailbox_id (0: none), due_day (epoch day), round,
        follow_up.
        """
        rows = self.table("read_due", ("current_step", "sequence_id", "contact_id", "packed"), day=day)
        key = ["sequence_id", "current_step", "contact_id"]
        order = key_order(*(rows[column] for column in key))
        packed = rows["packed"].to_numpy()[order]
        columns = {
            **{column: rows[column].to_numpy()[order] for column in key},
            "mailbox_id": packed >> DUE_MAILBOX_SHIFT,
            "due_day": packed >> DUE_DAY_SHIFT & DUE_DAY_MASK,
            "round": packed >> DUE_ROUND_SHIFT & DUE_ROUND_MASK,
            "follow_up": (packed & DUE_FOLLOW_UP_MASK).astype(bool),
        }
        return pd.DataFrame(columns, copy=False)

    def reusable_rows(self, day: date) -> pd.DataFrame:
        """Return the keys of due enrolments' cancelled and expired rows, which can be planned again."""
        return self.table("read_reusable_rows", KEY, day=day)

    def written(self, day: date) -> pd.DataFrame:
        """Return the rows that the ledger has for due steps: their key, and row_is (see eligibility)."""
        return self.table("read_written", [*KEY, "row_is"], day=day)

    def rows(self, day: date, since: datetime, earliest: datetime, first_day: date) -> pd.DataFrame:
        """Return the rows sent or planned since `since` that a plan of `day` must know.

        These are the rows from `earliest` on, those with a send_day from `first_day` on, and those under way.
        Columns: mailbox_id, send_day (epoch day), send_at (epoch seconds), sequence_id, contact_id, step_id,
        round; as bool: planned, under_way (live, or spent and not advanced), today (of planning day `day`, or
        live).
        """
        columns = ("mailbox_id", "send_day", "send_at", "sequence_id", "contact_id", "step_id", "packed")
        bounds = {"since": since, "earliest": earliest, "first_day": first_day}
        rows = self.table("read_rows", columns, day=day, **bounds)
        packed = rows.pop("packed").to_numpy()
        bits = {"planned": ROW_PLANNED_BIT, "under_way": ROW_UNDER_WAY_BIT, "today": ROW_TODAY_BIT}
        flags = {name: (packed >> bit & 1).astype(bool) for name, bit in bits.items()}
        return rows.assign(round=packed >> ROW_ROUND_SHIFT, **flags)

    def enrolments(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the enrolments of rows: sequence_id, contact_id, round, status, follow_up."""
        keys = {"sequence_ids": rows["sequence_id"].tolist(), "contact_ids": rows["contact_id"].tolist()}
        return self.frame("read_enrolments", **keys)

    def cancel(self, rows: pd.DataFrame, reasons: np.ndarray) -> pd.DataFrame:
        """Cancel planned rows; return the keys of those that were still planned."""
        keys = {f"{name}s": rows[name].tolist() for name in KEY}
        return self.frame("cancel_planned", **keys, reasons=reasons.tolist())

    def unmailable(self, now: datetime) -> pd.DataFrame:
        """Return the contacts that may not be mailed at `now`: gate, contact_id."""
        return self.table("read_unmailable", ("gate", "contact_id"), pads=self.pads, now=now)

    def refused(self, day: date, first_day: date) -> pd.DataFrame:
        """Return the due enrolments whose mail was refused for a date, from `first_day` on.

        Columns: reason (REFUSED_TODAY, LACKS_SMTPUTF8), sequence_id, contact_id, round, send_day (epoch day).
        """
        columns = ("reason", "sequence_id", "contact_id", "round", "send_day")
        return self.table("read_refused", columns, day=day, first_day=first_day)

    def holds(self) -> pd.DataFrame:
        """Return the contacts that are or were held: contact_id, hold_from, hold_until (epoch days)."""
        return self.frame("read_holds").reindex(columns=list(HOLD_COLUMNS)).astype(np.int64)

    def next_steps(self, sequence_ids: pd.Series, contact_ids: pd.Series) -> pd.DataFrame:
        """Return each enrolment's next step that was not mailed: its keys, step_number, row_is."""
        keys = {"sequence_ids": sequence_ids.tolist(), "contact_ids": contact_ids.tolist()}
        return self.frame("find_next_steps", **keys).astype(np.int64)

    def hash_new_addresses(self) -> int:
        """Store the missing HMACs of addresses, a batch a commit; return how many."""
        hashed = 0
        while done := self.execute("hash_new_addresses", pads=self.pads, batch=HASHED_AT_ONCE).rowcount:
            self.connection.commit()
            hashed += done
        return hashed + self._hash_other_addresses()

    def _hash_other_addresses(self) -> int:
        """Do the same for addresses that are not ASCII, which SQL may have entered in any spelling."""
        hashed, last = 0, 0
        while rows := self.execute(
            "read_addresses_without_hmac", after=last, batch=HASHED_AT_ONCE
        ).fetchall():
            last = rows[-1][0]
            hashed += self.execute(
                "store_hmacs",
                ids=[contact_id for contact_id, _ in rows],
                addresses=[address for _, address in rows],
                canonical=[address_or_text(address) for _, address in rows],
                pads=self.pads,
            ).rowcount
            self.connection.commit()
        return hashed

    def complete(self, exhausted: pd.DataFrame) -> int:
        """Complete these enrolments; return how many were active."""
        return self.execute(
            "complete_enrolments",
            sequence_ids=exhausted["sequence_id"].tolist(),
            contact_ids=exhausted["contact_id"].tolist(),
        ).rowcount

    def first_mails(
        self, day: date, since: datetime, sequence_ids: list[int], mailbox_ids: list[int]
    ) -> pd.DataFrame:
        """Return the planning day's first mails by sequence_id and mailbox_id, if one of them has a bound."""
        if not (sequence_ids or mailbox_ids):
            return pd.DataFrame(columns=["sequence_id", "mailbox_id", "first_mails"], dtype=np.int64)
        return self.frame(
            "count_first_mails", day=day, since=since, sequence_ids=sequence_ids, mailbox_ids=mailbox_ids
        ).astype(np.int64)

    def enter(self, slots: pd.DataFrame, order: np.ndarray, reactivated: np.ndarray) -> None:
        """Write the rows of `slots` at the positions `order`, in this order.

        `reactivated` marks the rows of `slots` for which the ledger has a cancelled or expired row: these are
        updated. Raises LedgerChangedError if one of those is no longer cancelled or expired.
        """
        again = reactivated[order]
        if again.any():
            self.execute("stage_reactivated")
            self._copy("copy_reactivated", slots, order[again])
            if self.execute("reactivate_sends").rowcount != again.sum():
                raise LedgerChangedError(
                    "Rows changed while the plan was made. Nothing was written. Materialize the day again."
                )
        if not again.all():
            self._copy("copy_sends", slots, order[~again])

    def _copy(self, name: str, slots: pd.DataFrame, order: np.ndarray) -> None:
        columns = [slots[column].to_numpy() for column in SEND_COLUMNS]
        written = write_columns(
            self.connection, query("plan", name), columns, list(SEND_COLUMNS.values()), order
        )
        if written != len(order):
            raise LedgerChangedError(
                f"Postgres wrote {written} of {len(order)} rows. Materialize the day again."
            )

    def has_sends(self, day: date, begins: datetime, ends: datetime) -> bool:
        """Return whether any send was planned on planning day `day`, whatever its status is now."""
        return self.execute("has_sends", day=day, begins=begins, ends=ends).fetchall() == [(True,)]

    def count_day(self, day: date, begins: datetime, ends: datetime) -> dict[str, int]:
        """Return the number of sends by status planned on planning day `day`, from begins to ends."""
        rows = self.execute("count_day", day=day, begins=begins, ends=ends).fetchall()
        return dict(rows)

    def sends_of_day(self, day: date, begins: datetime, ends: datetime) -> pd.DataFrame:
        """Return the sends planned on planning day `day`: DAY_COLUMNS, with epoch seconds and days."""
        statuses = [status.value for status in SendStatus]
        columns = ("mailbox_id", "status", *KEY, "due_day", "send_day", "send_at", "not_after")
        rows = self.table("read_day", columns, day=day, begins=begins, ends=ends, statuses=statuses)
        status = pd.Categorical.from_codes(rows["status"] - 1, categories=pd.Index(statuses))
        return rows.assign(status=status, plan_day=(day - date(1970, 1, 1)).days)[list(DAY_COLUMNS)]

    def allow(self, days: pd.DataFrame) -> None:
        """Store each mailbox's limit for the gate before DATA: mailbox_id, send_day (epoch day), allowed."""
        self.execute(
            "allow_days",
            mailbox_ids=days["mailbox_id"].tolist(),
            send_days=days["send_day"].tolist(),
            allowed=days["allowed"].tolist(),
        )

    def defer(self, waiting: pd.DataFrame, day: date, since: datetime) -> None:
        """Replace all deferrals by `waiting`: sequence_id, contact_id, reason."""
        self.execute("stage_deferrals")
        reason = pd.Index(REASONS).get_indexer(pd.Index(waiting["reason"].astype(object))) + 1
        columns = [waiting["sequence_id"].to_numpy(), waiting["contact_id"].to_numpy(), reason]
        write_columns(
            self.connection, query("plan", "copy_staged_deferrals"), columns, ("int8", "int8", "int2")
        )
        self.execute("stage_unknown_deferrals", since=since, day=day, reasons=REASONS)
        self.execute("keep_deferrals", day=day, reasons=REASONS)


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a grouped query, ordered by their first two columns."""
    return rows.iloc[key_order(*(rows[column] for column in list(rows)[:2]))].reset_index(drop=True)


def keys_of(sends: pd.DataFrame) -> Iterator[SendKey]:
    """Yield the keys of a frame's rows."""
    yield from map(SendKey._make, zip(*(sends[column].tolist() for column in KEY), strict=True))
