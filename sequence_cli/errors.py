"""Errors of the CLI's own commands.

SampleError  (StoreError, exit status 2)  the sample data cannot be loaded
ExplainError (StoreError, exit status 2)  a line to explain cannot be read; the message names it
DayError     (StackError, exit status 1)  `sequences day` cannot continue; the message names the cause
"""

from __future__ import annotations

from local_stack.errors import StackError
from sequence_store.errors import StoreError


class SampleError(StoreError):
    pass


class ExplainError(StoreError):
    pass


class DayError(StackError):
    pass
