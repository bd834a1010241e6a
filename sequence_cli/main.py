"""Command line `sequences`: registers all commands and reports their errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import typer

from local_stack.env_file import env_file_of, read_env_file
from local_stack.folder import StackFolder
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
    pause,
    plan,
    replies,
    restore_guard,
    sample_data,
    sends,
    stack,
    stats,
    status,
    suppression_exchange,
    suppressions,
    verify,
    webhooks,
    why,
    worker,
)
from sequence_cli.error_report import explain as explain_error
from sequence_store.loopback import spare_loopback


class CLI(typer.Typer):
    """Prints an expected error as one message instead of a traceback."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            status = super().__call__(*args, **{"standalone_mode": False, **kwargs})
        except typer.Abort:
            typer.echo("Aborted.", err=True)
            sys.exit(1)
        except typer.TyperException as error:
            if (explained := explain_error(error)) is None:
                error.show()  # type: ignore[attr-defined]  # a wrong command or option, or the help
                sys.exit(error.exit_code)
            _fail(*explained)
        except Exception as error:
            if (explained := explain_error(error)) is None:
                raise
            _fail(*explained)
        sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"Error: {message}", err=True)
    sys.exit(status)


app = CLI(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def attach() -> None:
    """Plan, send and advance email sequences.

    Commands use the stack that runs in this folder (`.local/stack.env`); environment variables take
    precedence.
    """
    spare_loopback(os.environ)
    root = Path.cwd()
    if not StackFolder(root).is_stale():
        for name, value in read_env_file(env_file_of(root)).items():
            os.environ.setdefault(name, value)


app.add_typer(stack.app, name="stack")
app.add_typer(sends.app, name="sends")
app.add_typer(keys.app, name="keys")
app.add_typer(contacts.app, name="contacts")
app.add_typer(mailbox.app, name="mailbox")
app.add_typer(replies.app, name="replies")
app.add_typer(replies.optouts, name="optouts")
app.add_typer(explain.app, name="explain")
app.add_typer(suppressions.app, name="suppressions")
suppressions.app.command("export")(suppression_exchange.export_suppressions)
suppressions.app.command("import")(suppression_exchange.import_suppressions)
app.command("migrate")(migrate.migrate)
app.command("api")(api.serve)
app.command("worker")(worker.work)
app.command("inbox")(worker.inbox)
app.command("webhooks")(webhooks.webhooks)
app.command("sample-data")(sample_data.sample_data)
app.command("restore-guard")(restore_guard.restore_guard)
app.command("status")(status.status)
app.command("metrics")(metrics.metrics)
app.command("stats")(stats.stats)
app.command("why")(why.why)
app.command("pause-all")(pause.pause_all)
app.command("resume-all")(pause.resume_all)
app.command("plan")(plan.plan)
app.command("forecast")(forecast.forecast)
app.command("archive")(archive.archive)
app.command("verify")(verify.verify)
app.command("day")(day.day)
