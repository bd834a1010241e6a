"""The errors of the roof's own commands.

SampleError  (StoreError, status 2)  the sample cannot be loaded here
DayError     (StackError, status 1)  the day cannot go on; the message says what failed and where to look
"""

from __future__ import annotations

from local_stack.errors import StackError
from sequence_store.errors import StoreError


class SampleError(StoreError):
    pass


class DayError(StackError):
    pass
