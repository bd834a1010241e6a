"""Named points at which a test ends the process, to see what the next worker makes of what is left."""

from __future__ import annotations

import os
import signal
from enum import StrEnum


class CrashPoint(StrEnum):
    """Where an attempt can be, in order."""

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


_SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}
_armed = {os.environ["CRASH_AT"]} if "CRASH_AT" in os.environ else set[str]()
_signal = _SIGNALS[os.environ.get("CRASH_SIGNAL", "KILL")]


def reach(point: CrashPoint) -> None:
    """Do nothing, unless CRASH_AT names the point: then kill the process, or stop it once (CRASH_SIGNAL=STOP)."""
    if point in _armed:
        _armed.discard(point)
        os.kill(os.getpid(), _signal)
