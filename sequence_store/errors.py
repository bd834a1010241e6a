"""Errors of the store.

StoreError
├── SettingsError          a setting is missing or invalid; the message names the variable
├── MalformedMessageError  a queue message that cannot be read; it is dead-lettered
├── QueueMissingError      a queue does not exist; a deployment or `sequences stack up` creates it
├── QueueForeignError      a queue belongs to another environment; no message is sent or received
├── QueueDiffersError      a queue exists with other attributes; the message says how to change them
├── TemplateError          a step's template cannot be rendered; the message holds no contact's value
├── SecretError            a mailbox's secret cannot be decrypted; `reason` parks the mailbox
├── LedgerChangedError     the ledger changed since the plan read it; nothing of the plan is written
├── ProgramsAtWorkError    programs are connected to a database that must be idle
├── UnknownSchemaError     the database is at a revision that this release does not have
└── UnknownQueryError      no .sql file defines the named query
"""

from __future__ import annotations


class StoreError(Exception):
    """An error that an operator can act on; the message says how."""


class SettingsError(StoreError):
    pass


class MalformedMessageError(StoreError):
    pass


class QueueMissingError(StoreError):
    pass


class QueueForeignError(StoreError):
    pass


class QueueDiffersError(StoreError):
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


class UnknownSchemaError(StoreError):
    pass


class UnknownQueryError(StoreError):
    pass
