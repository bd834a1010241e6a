"""Failpoints: named points at which a test kills or stops the process, to test the recovery."""

from __future__ import annotations

import os
import signal
from enum import StrEnum


class Failpoint(StrEnum):
    """A point between two effects of the planner, dispatcher, worker, results, reconciliation or reader."""

    PLAN_LOCKED = "plan_locked"
    PLAN_WRITTEN = "plan_written"
    DISPATCH_READ = "dispatch_read"
    DISPATCH_SENT = "dispatch_sent"
    DISPATCH_MARKED = "dispatch_marked"
    AFTER_RECEIVE = "after_receive"
    AFTER_CLAIM = "after_claim"
    AFTER_EHLO = "after_ehlo"
    AFTER_RCPT = "after_rcpt"
    AFTER_TRANSMITTING = "after_transmitting"
    BEFORE_DOT = "before_dot"
    AFTER_DOT = "after_dot"
    AFTER_ANSWER = "after_answer"
    AFTER_FINISH = "after_finish"
    AFTER_RESULT = "after_result"
    RESULTS_RECEIVED = "results_received"
    RESULTS_APPLIED = "results_applied"
    RESULTS_COMMITTED = "results_committed"
    RECONCILE_SETTLED = "reconcile_settled"
    MAILS_FETCHED = "mails_fetched"
    MAILS_RECORDED = "mails_recorded"
    MAILS_PASSED = "mails_passed"


_SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP, "TERM": signal.SIGTERM}
_armed: dict[str, signal.Signals] = {}


def arm(point: str, name: str) -> None:
    """Send the process a signal once, when it reaches the point; `name` is KILL, STOP or TERM."""
    _armed[point] = _SIGNALS[name]


def reach(point: Failpoint) -> None:
    """Do nothing, unless a test, or CRASH_AT and CRASH_SIGNAL, armed the point."""
    if _armed and point in _armed:
        os.kill(os.getpid(), _armed.pop(point))


if "CRASH_AT" in os.environ:
    arm(os.environ["CRASH_AT"], os.environ.get("CRASH_SIGNAL", "KILL"))
