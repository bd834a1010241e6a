"""Errors of the local stack.

StackError
├── BinaryMissingError   a server's binaries are missing or too old; names the package or variable to set
├── PrivilegeError       Postgres refuses root, and root privileges cannot be dropped on this machine
└── StartError           a program ended or was not ready in time; includes the last lines of its log
"""

from __future__ import annotations


class StackError(Exception):
    """The local stack cannot continue; the message names the cause and the remedy."""


class BinaryMissingError(StackError):
    pass


class PrivilegeError(StackError):
    pass


class StartError(StackError):
    pass
