"""Commands `sequences keys …`: manage the keys of the Sequence API."""

from __future__ import annotations

from typing import Annotated

import typer

from sequence_cli.output import AsJson, print_json, print_lines
from sequence_store.secrets.api_keys import Scope

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke keys of the Sequence API.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the key's owner, shown by `keys list`.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Permitted scope; repeatable. Default: all scopes.")
    ] = None,
    expires_in_days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Lifetime of the key. Default: it does not expire.")
    ] = None,
) -> None:
    """Create a key and print it. The key is shown only once; the database stores its hash."""
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
    typer.echo(f"Key {row and row[0]} of {name!r}. Store it now; it is not shown again:", err=True)
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
def revoke(key_id: Annotated[int, typer.Argument(metavar="ID", help="Id shown by `keys list`.")]) -> None:
    """Revoke a key. The API rejects the next request with it."""
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences keys") as connection:
        row = connection.execute(query("keys", "revoke_key"), {"id": key_id}).fetchone()
    if row is None:
        typer.echo(
            f"Key {key_id} does not exist or is already revoked. `sequences keys list` shows all keys.",
            err=True,
        )
        raise typer.Exit(1)
    typer.echo(f"Revoked key {key_id}.")
