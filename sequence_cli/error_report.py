"""Turns the expected errors of all commands into one line and an exit status."""

from __future__ import annotations

import errno
import sys

import typer

from local_stack.errors import StackError
from sequence_store.deployment import advice
from sequence_store.errors import StoreError

REFUSED = "Connection refused"  # no server listens on the port
STACK_FAILED = 1
FAILED = 2


def explain(error: Exception) -> tuple[str, int] | None:
    """Return the message and the exit status of an expected error; None if it is a bug.

    Exit status 1: an error of the local stack. Exit status 2: any other expected error.
    """
    if isinstance(error, typer.BadParameter):
        command = error.ctx.command_path if error.ctx else "sequences"
        return f"{error.format_message()} See `{command} --help`.", FAILED
    if isinstance(error, (StackError, StoreError)):
        return str(error), STACK_FAILED if isinstance(error, StackError) else FAILED
    text = _explain(error)
    return None if text is None else (text, FAILED)


def _explain(error: Exception) -> str | None:
    """Return what to tell about an error of a library; None if it is a bug."""
    if isinstance(error, UnicodeDecodeError):
        return f"a file is not UTF-8 text: {error.reason} at byte {error.start}."
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        return _explain_os_error(error)
    return _explain_database_error(error) or _explain_queue_error(error)


def _explain_os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}." if error.filename else f"{reason}."


def _explain_database_error(error: Exception) -> str | None:
    """Explain an error of psycopg, of which only a module that is loaded already can be the source."""
    if (alchemy := sys.modules.get("sqlalchemy")) and isinstance(error, alchemy.exc.DBAPIError):
        error = error.orig if isinstance(error.orig, Exception) else error
    if not (psycopg := sys.modules.get("psycopg")) or not isinstance(error, psycopg.Error):
        return None
    reason = str(error).partition("\n")[0]
    if isinstance(error, psycopg.OperationalError):
        hint = f". {advice('database')}" if REFUSED in reason else ""
        return f"the database does not respond: {reason}{hint}"
    undefined = (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.UndefinedFunction,
    )
    if isinstance(error, undefined):
        return f"the database has another schema: {reason}. Run `sequences migrate`."
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"the database refuses the command: {reason}. Check the role in the database's URL."
    return None


def _explain_queue_error(error: Exception) -> str | None:
    if not (exceptions := sys.modules.get("botocore.exceptions")):
        return None
    if isinstance(error, (exceptions.BotoCoreError, exceptions.ClientError)):
        return f"the queues do not respond: {' '.join(str(error).split())}"
    return None
