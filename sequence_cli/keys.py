"""`sequences keys …`: who may use the Sequence API."""

from __future__ import annotations

from typing import Annotated

import typer

from sequence_cli.output import AsJson, print_json, print_lines
from sequence_store.secrets.api_keys import Scope

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys of the Sequence API.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, as `keys list` shows it.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may do, once for each; without any, everything.")
    ] = None,
    expires_in_days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Without it, the key does not expire.")
    ] = None,
) -> None:
    """Make a key and print it: it is shown this once, only its hash is kept."""
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.secrets.api_keys import hash_key, new_key
    from sequence_store.settings import OwnerSettings, read_settings

    key = new_key()
    values = {
        "key_name": name,
        "key_hash": hash_key(key),
        "scopes": [one.value for one in scope or Scope],
        "days": expires_in_days,
    }
    with connect(read_settings(OwnerSettings).database_url, name="sequences keys") as connection:
        row = connection.execute(query("keys", "create_key"), values).fetchone()
    typer.echo(f"Key {row and row[0]} of {name!r}; keep it, it is not shown again:", err=True)
    typer.echo(key)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List all keys: id, state, created, expires, scopes, name."""
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences keys") as connection:
        rows = connection.execute(query("keys", "list_keys")).fetchall()
    headings = ("id", "state", "created", "expires", "scopes", "name")
    if as_json:
        print_json([dict(zip(headings, row, strict=True)) for row in rows])
    else:
        print_lines(headings, rows)


@app.command()
def revoke(key_id: Annotated[int, typer.Argument(metavar="ID", help="As `keys list` shows it.")]) -> None:
    """Revoke a key: the very next request with it is refused."""
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences keys") as connection:
        row = connection.execute(query("keys", "revoke_key"), {"id": key_id}).fetchone()
    if row is None:
        typer.echo("No such key, or it is revoked already: `sequences keys list`.", err=True)
        raise typer.Exit(1)
    typer.echo(f"Revoked key {key_id}.")
