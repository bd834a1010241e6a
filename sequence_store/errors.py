"""The errors of the store.

StoreError
├── SettingsError          a setting is missing or impossible; names the variable
├── MalformedMessageError  a queue message that no version of ours wrote; goes to the dead-letter queue
├── QueueMissingError      a queue that a deployment or `sequences stack up` has to create first
├── TemplateError          a step's template that no mail can be made of; the reason holds no contact's value
├── SecretError            a mailbox's secret that cannot be opened; `reason` parks the mailbox
├── LedgerChangedError     the ledger is not as a plan has read it; nothing of the plan is written
├── ProgramsAtWorkError    programs are connected where they must not be
└── UnknownQueryError      a query that no .sql file names
"""

from __future__ import annotations


class StoreError(Exception):
    """Something the person who operates the system has to know; the message says what to do."""


class SettingsError(StoreError):
    pass


class MalformedMessageError(StoreError):
    pass


class QueueMissingError(StoreError):
    pass


class TemplateError(StoreError):
    pass


class SecretError(StoreError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LedgerChangedError(StoreError):
    pass


class ProgramsAtWorkError(StoreError):
    pass


class UnknownQueryError(StoreError):
    pass
