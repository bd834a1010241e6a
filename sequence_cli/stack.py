"""Commands `sequences stack …`: start, stop and inspect the local stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sequence_cli.output import AsJson, print_json

app = typer.Typer(no_args_is_help=True, help="Start and stop all programs on this machine, on loopback only.")


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once all is ready; run in the background.")
    ] = False,
) -> None:
    """Start Postgres, queues, mail sink, API, worker and Dagster; run until Ctrl-C."""
    from local_stack import stack

    if detach:
        stack.up_detached(Path.cwd())
    else:
        stack.up(Path.cwd())


@app.command()
def down() -> None:
    """Stop all programs. The data stays in `.local/`."""
    from local_stack import stack

    stack.down(Path.cwd())


@app.command("env")
def show_environment(as_json: AsJson = False) -> None:
    """Print the variables that a program needs to use the running stack, as lines that a shell can source."""
    from local_stack.env_file import format_variables
    from local_stack.stack import environment

    variables = environment(Path.cwd())
    if as_json:
        print_json(variables)
    else:
        typer.echo(format_variables(variables), nl=False)
