"""Command line `sequences`: registers all commands and reports their errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import typer

from local_stack.env_file import env_file_of, read_env_file
from local_stack.errors import StackError
from sequence_cli import (
    api,
    archive,
    contacts,
    day,
    explain,
    forecast,
    keys,
    mailbox,
    metrics,
    migrate,
    plan,
    replies,
    restore_guard,
    sample_data,
    sends,
    stack,
    status,
    verify,
    why,
    worker,
)
from sequence_store.errors import StoreError

REFUSED = "Connection refused"  # no server listens on the port


class CLI(typer.Typer):
    """Prints an expected error as one message instead of a traceback.

    Exit status 1: an error of the local stack. Exit status 2: any other expected error.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except (StackError, StoreError) as error:
            typer.echo(f"Error: {error}", err=True)
            sys.exit(1 if isinstance(error, StackError) else 2)
        except Exception as error:
            if (psycopg := sys.modules.get("psycopg")) and isinstance(error, psycopg.OperationalError):
                reason = str(error).partition("\n")[0]
                hint = ". Start it: `make run` or `sequences stack up`." if REFUSED in reason else ""
                typer.echo(f"Error: the database does not respond: {reason}{hint}", err=True)
                sys.exit(2)
            raise


app = CLI(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def attach() -> None:
    """Plan, send and advance email sequences.

    Commands use the stack that runs in this folder (`.local/stack.env`); environment variables take
    precedence.
    """
    for name, value in read_env_file(env_file_of(Path.cwd())).items():
        os.environ.setdefault(name, value)


app.add_typer(stack.app, name="stack")
app.add_typer(sends.app, name="sends")
app.add_typer(keys.app, name="keys")
app.add_typer(contacts.app, name="contacts")
app.add_typer(mailbox.app, name="mailbox")
app.add_typer(replies.app, name="replies")
app.add_typer(replies.optouts, name="optouts")
app.add_typer(explain.app, name="explain")
app.command("migrate")(migrate.migrate)
app.command("api")(api.serve)
app.command("worker")(worker.work)
app.command("inbox")(worker.inbox)
app.command("sample-data")(sample_data.sample_data)
app.command("restore-guard")(restore_guard.restore_guard)
app.command("status")(status.status)
app.command("metrics")(metrics.metrics)
app.command("why")(why.why)
app.command("plan")(plan.plan)
app.command("forecast")(forecast.forecast)
app.command("archive")(archive.archive)
app.command("verify")(verify.verify)
app.command("day")(day.day)
