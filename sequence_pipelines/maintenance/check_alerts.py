"""Decides which checks turned: two failures in a row turn one, two passes clear it, and each is told once.

A blocking check whose failure fails its run is not told here, because the failed run is. If the checks have
not run for two hours, that is told, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from sequence_store.postgres.queries import query

IN_A_ROW = 2
SILENT_AFTER = timedelta(hours=2)
ERROR = "ERROR"
OWN_ASSET, CHECKS_RUN = "sending_health", "checks_run"  # the pseudo-check that the checks run at all
SILENT = (
    "The checks of sending_health have not run for two hours. Check that Dagster's daemon runs and that "
    "health_schedule is on."
)
Key = tuple[str, str]


@dataclass(frozen=True)
class Evaluation:
    """One result of a check."""

    passed: bool
    severity: str
    blocking: bool
    run_id: str
    at: datetime


@dataclass(frozen=True)
class CheckState:
    """What is known of a check: its latest result, how often in a row, and whether an alert is open."""

    latest: Evaluation
    in_a_row: int
    alerted: bool

    @property
    def fails_its_run(self) -> bool:
        return self.latest.blocking and self.latest.severity == ERROR and not self.latest.passed


def judge(results: Sequence[Evaluation], *, alerted: bool) -> tuple[CheckState, bool]:
    """Return the state after these results, newest first, and whether it turned, which is to be told."""
    latest = results[0]
    in_a_row = next((n for n, one in enumerate(results) if one.passed != latest.passed), len(results))
    state = CheckState(latest, in_a_row, alerted)
    turned = in_a_row >= IN_A_ROW and latest.passed == alerted and not state.fails_its_run
    return CheckState(latest, in_a_row, alerted != turned), turned


def judge_silence(latest_check: datetime | None, first_seen: datetime, now: datetime) -> Evaluation:
    """Return whether the checks of sending_health ran within two hours, as a result of its own."""
    last = max(latest_check, first_seen) if latest_check else first_seen
    return Evaluation(now - last <= SILENT_AFTER, ERROR, blocking=False, run_id="", at=last)


def read_alerted(connection: psycopg.Connection[Any]) -> dict[Key, bool]:
    """Return by check whether an alert is open."""
    rows = connection.execute(query("checks", "read")).fetchall()
    return {(asset, name): alerted for asset, name, *_, alerted in rows}


def first_seen(connection: psycopg.Connection[Any], now: datetime) -> datetime:
    """Return when the checks were first looked at; now, if never."""
    rows = connection.execute(query("checks", "read")).fetchall()
    return next((at for asset, name, _, _, at, _ in rows if (asset, name) == (OWN_ASSET, CHECKS_RUN)), now)


def keep(connection: psycopg.Connection[Any], key: Key, state: CheckState) -> None:
    """Store the state of a check. Commits."""
    latest = state.latest
    connection.execute(
        query("checks", "keep"),
        {
            "asset": key[0],
            "check_name": key[1],
            "passed": latest.passed,
            "severity": latest.severity,
            "blocking": latest.blocking,
            "in_a_row": state.in_a_row,
            "run_id": latest.run_id,
            "at": latest.at,
            "alerted": state.alerted,
        },
    )
    connection.commit()


def forget_others(connection: psycopg.Connection[Any], known: Mapping[Key, Any]) -> None:
    """Remove the states of checks that do not exist any more. Commits."""
    keys = [*known, (OWN_ASSET, CHECKS_RUN)]
    parameters = {"assets": [asset for asset, _ in keys], "checks": [name for _, name in keys]}
    connection.execute(query("checks", "forget"), parameters)
    connection.commit()
