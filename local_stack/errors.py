"""The errors of the local stack.

StackError
├── BinaryMissingError   a server's binaries are absent or too old; says which package or variable brings them
├── PrivilegeError       Postgres refuses root and no way to shed it works here
└── StartError           a program ended, or was not ready in time; carries its log's last lines
"""

from __future__ import annotations


class StackError(Exception):
    """The local stack cannot go on; the message says what failed and what to do."""


class BinaryMissingError(StackError):
    pass


class PrivilegeError(StackError):
    pass


class StartError(StackError):
    pass
