"""Reads and writes the plan's tables: arrays and DataFrames here, named SQL statements in plan.sql."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from psycopg.types.json import Jsonb

from sequence_pipelines.planning.binary_columns import read_columns, write_columns
from sequence_pipelines.planning.engine.array_ops import key_order
from sequence_pipelines.planning.engine.eligibility import HOLD_COLUMNS
from sequence_pipelines.planning.engine.proof import Cut
from sequence_pipelines.planning.engine.send_dates import NO_OFFSET
from sequence_pipelines.planning.engine.windows import from_epoch_day
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
    "ramp_up_days": "int64",
    "ramp_up_counted": "float64",
    "is_active": "bool",
    "parked_until": "int64",
}
SEQUENCE_COLUMNS = {
    "sequence_id": "int64",
    "is_active": "bool",
    "max_new_per_day": "float64",
    "priority": "int64",
    "obeys_replies": "bool",
}
WRITTEN_DAY_COLUMNS = {
    "mailbox_id": "int64",
    "send_day": "int64",
    "allowed": "int64",
    "grid_from": "float64",
}
MAIL_DAY_COLUMNS = dict.fromkeys(("mailbox_id", "send_day", "allowed", "used"), "int64")
FIRST_MAIL_COLUMNS = dict.fromkeys(("sequence_id", "mailbox_id", "first_mails"), "int64")
NEXT_STEP_COLUMNS = dict.fromkeys(("sequence_id", "contact_id", "step_id", "step_number", "row_is"), "int64")
KEY = ["sequence_id", "contact_id", "step_id", "round"]
REASONS = [reason.value for reason in Deferral]
DAY_COLUMNS = (*SEND_COLUMNS, "status")  # of the frame that shows a planning day
HASHED_AT_ONCE = 20_000  # contacts in one batch
# read_due packs a row's mailbox (31 bits), due day, round and "is a follow-up" (bit 0) into one bigint.
DUE_MAILBOX_SHIFT, DUE_DAY_SHIFT, DUE_ROUND_SHIFT = 32, 16, 1
DUE_DAY_MASK, DUE_ROUND_MASK, DUE_FOLLOW_UP_MASK = 0xFFFF, 0x7FFF, 1
DUE_OFFSET_BITS, DUE_OFFSET_ZERO = 12, 2048  # beside the sequence; 0: no offset
DUE_LAST_SEND_BITS = 16  # beside the contact
# read_rows packs four flags and a row's round.
ROW_PLANNED_BIT, ROW_UNDER_WAY_BIT, ROW_TODAY_BIT, ROW_MAILED_BIT, ROW_ROUND_SHIFT = 0, 1, 2, 3, 4


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

    def typed(self, name: str, columns: Mapping[str, str], **parameters: Any) -> pd.DataFrame:
        """Run a named query and return its columns under these names and with these types.

        What is missing is NaN in a column of floats, None in one of objects.
        """
        rows = self.execute(name, **parameters).fetchall()
        found = zip(*rows, strict=True) if rows else [()] * len(columns)
        return pd.DataFrame(
            {
                column: pd.Series(values, dtype=kind) if kind == "object" else np.array(values, dtype=kind)
                for (column, kind), values in zip(columns.items(), found, strict=True)
            }
        )

    def mailboxes(self) -> pd.DataFrame:
        """Return the live mailboxes with MAILBOX_COLUMNS; parked_until in epoch seconds, 0 if not parked."""
        return self.typed("read_mailboxes", MAILBOX_COLUMNS)

    def sequences(self) -> pd.DataFrame:
        """Return the live sequences with SEQUENCE_COLUMNS; max_new_per_day is NaN if there is no bound."""
        return self.typed("read_sequences", SEQUENCE_COLUMNS)

    def routes(self) -> pd.DataFrame:
        """Return the mailboxes that each sequence may use, ordered: sequence_id, mailbox_id."""
        return _ordered(self.table("read_routes", ("sequence_id", "mailbox_id")))

    def steps(self) -> pd.DataFrame:
        """Return the live steps, ordered: sequence_id, step_number, step_id, delay_days."""
        return _ordered(self.table("read_steps", ("sequence_id", "step_number", "step_id", "delay_days")))

    def due(self, until: date) -> pd.DataFrame:
        """Return the active enrolments whose next_send is `until` or earlier, by sequence, step and contact.

        Columns: sequence_id, current_step, contact_id, mailbox_id (0: none), due_day (epoch day), round,
        follow_up, last_send (epoch day, 0: none), last_offset (minutes, NO_OFFSET: none).
        """
        rows = self.table("read_due", ("current_step", "sequence_id", "contact_id", "packed"), until=until)
        offset = rows["sequence_id"].to_numpy() & ((1 << DUE_OFFSET_BITS) - 1)
        last_send = rows["contact_id"].to_numpy() & ((1 << DUE_LAST_SEND_BITS) - 1)
        rows["sequence_id"] = rows["sequence_id"].to_numpy() >> DUE_OFFSET_BITS
        rows["contact_id"] = rows["contact_id"].to_numpy() >> DUE_LAST_SEND_BITS
        key = ["sequence_id", "current_step", "contact_id"]
        order = key_order(*(rows[column] for column in key))
        packed = rows["packed"].to_numpy()[order]
        columns = {
            **{column: rows[column].to_numpy()[order] for column in key},
            "mailbox_id": packed >> DUE_MAILBOX_SHIFT,
            "due_day": packed >> DUE_DAY_SHIFT & DUE_DAY_MASK,
            "round": packed >> DUE_ROUND_SHIFT & DUE_ROUND_MASK,
            "follow_up": (packed & DUE_FOLLOW_UP_MASK).astype(bool),
            "last_send": last_send[order],
            "last_offset": np.where(offset == 0, NO_OFFSET, offset - DUE_OFFSET_ZERO)[order],
        }
        return pd.DataFrame(columns, copy=False)

    def reusable_rows(self, until: date) -> pd.DataFrame:
        """Return the keys of due enrolments' cancelled and expired rows, which can be planned again."""
        return self.table("read_reusable_rows", KEY, until=until)

    def written(self, until: date) -> pd.DataFrame:
        """Return the rows that the ledger has for due steps: their key, and row_is (see eligibility)."""
        return self.table("read_written", [*KEY, "row_is"], until=until)

    def rows(self, day: date, since: datetime, earliest: datetime, first_day: date) -> pd.DataFrame:
        """Return the rows sent or planned since `since` that a plan of `day` must know.

        These are the rows from `earliest` on, those with a send_day from `first_day` on, and those under way.
        Columns: mailbox_id, send_day (epoch day), send_at (epoch seconds), sequence_id, contact_id, step_id,
        round; as bool: planned, under_way (live, or spent and not advanced), today (of planning day `day`, or
        live), mailed (the recipient did not refuse it).
        """
        columns = ("mailbox_id", "send_day", "send_at", "sequence_id", "contact_id", "step_id", "packed")
        bounds = {"since": since, "earliest": earliest, "first_day": first_day}
        rows = self.table("read_rows", columns, day=day, **bounds)
        packed = rows.pop("packed").to_numpy()
        bits = {
            "planned": ROW_PLANNED_BIT,
            "under_way": ROW_UNDER_WAY_BIT,
            "today": ROW_TODAY_BIT,
            "mailed": ROW_MAILED_BIT,
        }
        flags = {name: (packed >> bit & 1).astype(bool) for name, bit in bits.items()}
        return rows.assign(round=packed >> ROW_ROUND_SHIFT, **flags)

    def enrolments(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the enrolments of rows.

        Columns: sequence_id, contact_id, round, status, follow_up, pinned_mailbox_id, due_day, last_send,
        last_offset.
        """
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
        return self.typed("read_holds", dict.fromkeys(HOLD_COLUMNS, "int64"))

    def next_steps(self, sequence_ids: pd.Series, contact_ids: pd.Series) -> pd.DataFrame:
        """Return each enrolment's next step that was not mailed: its keys, step_number, row_is."""
        keys = {"sequence_ids": sequence_ids.tolist(), "contact_ids": contact_ids.tolist()}
        return self.typed("find_next_steps", NEXT_STEP_COLUMNS, **keys)

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

    def first_mails(self, day: date, since: datetime, sequence_ids: list[int]) -> pd.DataFrame:
        """Return the planning day's first mails of these sequences by sequence_id and mailbox_id."""
        if not sequence_ids:
            return pd.DataFrame(columns=list(FIRST_MAIL_COLUMNS), dtype=np.int64)
        bounds = {"day": day, "since": since, "sequence_ids": sequence_ids}
        return self.typed("count_first_mails", FIRST_MAIL_COLUMNS, **bounds)

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
        """Store each mailbox's date for the gate before DATA and the advancement.

        `days` has mailbox_id, send_day (epoch day), allowed, utc_offset (minutes), grid_from (epoch seconds).
        """
        self.execute(
            "allow_days",
            mailbox_ids=days["mailbox_id"].tolist(),
            send_days=days["send_day"].tolist(),
            allowed=days["allowed"].tolist(),
            utc_offsets=days["utc_offset"].tolist(),
            grids_from=days["grid_from"].tolist(),
        )

    def mailbox_days(self, first_day: date, last_day: date) -> pd.DataFrame:
        """Return what earlier plans wrote of dates; grid_from is NaN if it was not written."""
        days = {"first_day": first_day, "last_day": last_day}
        return self.typed("read_mailbox_days", WRITTEN_DAY_COLUMNS, **days)

    def mail_days(self) -> pd.DataFrame:
        """Return the dates with a mail of mailboxes that ramp up: mailbox_id, send_day, allowed, used."""
        return self.typed("read_mail_days", MAIL_DAY_COLUMNS)

    def raise_ramp_ups(self, raised: pd.DataFrame) -> None:
        """Store the days of ramp-ups: mailbox_id, ramp_up_days, ramp_up_counted (epoch day)."""
        if len(raised):
            self.execute(
                "raise_ramp_ups",
                mailbox_ids=raised["mailbox_id"].tolist(),
                ramp_up_days=raised["ramp_up_days"].tolist(),
                counted=raised["ramp_up_counted"].tolist(),
            )

    def recompute_changed_steps(self) -> dict[int, datetime]:
        """Compute next_send anew where steps changed; return the marks of the sequences."""
        marks: dict[int, datetime] = dict(self.execute("read_changed_steps").fetchall())
        if marks:
            self.execute("recompute_next_sends", sequence_ids=list(marks))
        return marks

    def clear_changed_steps(self, marks: dict[int, datetime]) -> None:
        """Take away marks that no later change has replaced."""
        if marks:
            self.execute("clear_changed_steps", sequence_ids=list(marks), changed_at=list(marks.values()))

    def keep_cuts(self, day: date, made_at: datetime, cuts: list[Cut]) -> None:
        """Replace the stored cuts by those of this plan."""
        self.execute("forget_cuts")
        if cuts:
            with self.connection.cursor() as cursor:
                cursor.executemany(
                    query("plan", "keep_cut"), [_stored_cut(day, made_at, cut) for cut in cuts]
                )

    def has_cuts(self) -> bool:
        """Return whether the latest plan stored cuts."""
        return self.execute("has_cuts").fetchall() == [(True,)]

    def defer(self, waiting: pd.DataFrame, day: date, until: date, since: datetime) -> int:
        """Replace all deferrals by `waiting`: sequence_id, contact_id, reason. Return how many changed."""
        self.execute("stage_deferrals")
        reason = pd.Index(REASONS).get_indexer(pd.Index(waiting["reason"].astype(object))) + 1
        columns = [waiting["sequence_id"].to_numpy(), waiting["contact_id"].to_numpy(), reason]
        write_columns(
            self.connection, query("plan", "copy_staged_deferrals"), columns, ("int8", "int8", "int2")
        )
        self.execute("stage_unknown_deferrals", since=since, until=until, reasons=REASONS)
        is_empty = self.execute("has_deferrals").fetchall() == [(False,)]
        keep = "add_deferrals" if is_empty else "keep_deferrals"
        return self.execute(keep, day=day, reasons=REASONS).rowcount


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a grouped query, ordered by their first two columns."""
    return rows.iloc[key_order(*(rows[column] for column in list(rows)[:2]))].reset_index(drop=True)


def _stored_cut(day: date, made_at: datetime, cut: Cut) -> dict[str, Any]:
    intervals = [[mailbox, from_epoch_day(send_day).isoformat()] for mailbox, send_day in cut.intervals]
    return {**vars(cut), "plan_day": day, "made_at": made_at, "intervals": Jsonb(intervals)}


def keys_of(sends: pd.DataFrame) -> Iterator[SendKey]:
    """Yield the keys of a frame's rows."""
    yield from map(SendKey._make, zip(*(sends[column].tolist() for column in KEY), strict=True))
