"""Places at which a test kills or stops the worker; they cost nothing when CRASH_AT is unset."""

from __future__ import annotations

import os
import signal
from enum import StrEnum


class CrashPoint(StrEnum):
    AFTER_RECEIVE = "after_receive"
    AFTER_CLAIM = "after_claim"
    AFTER_RCPT = "after_rcpt"
    AFTER_TRANSMITTING = "after_transmitting"
    BEFORE_DOT = "before_dot"
    AFTER_DOT = "after_dot"
    AFTER_ANSWER = "after_answer"
    AFTER_FINISH = "after_finish"
    AFTER_RESULT = "after_result"


_chosen = os.environ.get("CRASH_AT")


def reach(point: CrashPoint) -> None:
    """Kill (or, with CRASH_SIGNAL=STOP, stop) this process if a test asked for it here."""
    if _chosen == point:
        os.kill(os.getpid(), signal.SIGSTOP if os.environ.get("CRASH_SIGNAL") == "STOP" else signal.SIGKILL)
