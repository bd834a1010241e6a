"""Errors of the CLI's own commands.

StoreError (exit status 2)
├── SampleError           the sample data cannot be loaded
├── ExplainError          a line to explain cannot be read; the message names it
├── FileError             a file cannot be read or written
└── RemoteError           a server's answer is missing or wrong; one line names the server
    ├── UnreachableError  it does not respond, or breaks its answer off
    └── AnswerError       it answers, but not as our server does, or its URL is no URL
StackError (exit status 1)
└── DayError              `sequences day` cannot continue; the message names the cause
"""

from __future__ import annotations

from local_stack.errors import StackError
from sequence_store.errors import StoreError


class SampleError(StoreError):
    pass


class ExplainError(StoreError):
    pass


class FileError(StoreError):
    pass


class RemoteError(StoreError):
    pass


class UnreachableError(RemoteError):
    pass


class AnswerError(RemoteError):
    pass


class DayError(StackError):
    pass
