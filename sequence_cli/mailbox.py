"""`sequences mailbox …`: what a mailbox needs to be able to send."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Look after mailboxes: secrets, records, sign-in.")


@app.command("rotate-secrets")
def rotate_secrets() -> None:
    """Seal every mailbox's secret with the newest of SECRET_KEYS; the older keys can be dropped afterwards."""
    from sequence_store.database import connect
    from sequence_store.errors import SecretError
    from sequence_store.queries import query
    from sequence_store.secrets_at_rest import SecretBox
    from sequence_store.settings import OperatorSettings, read_settings

    settings = read_settings(OperatorSettings)
    box = SecretBox(settings.keys_of_secrets, takes_unsealed=True)
    sealed = current = 0
    lost: list[str] = []
    with connect(settings.database_url, name="sequences mailbox") as connection:
        for mailbox_id, address, stored in connection.execute(query("mailbox", "read_secrets")).fetchall():
            if box.is_current(stored):
                current += 1
                continue
            try:
                secret = box.seal(box.open(stored))
            except SecretError:
                lost.append(address)
                continue
            connection.execute(query("mailbox", "replace_secret"), {"id": mailbox_id, "secret": secret})
            sealed += 1
    typer.echo(f"{sealed} secrets sealed with the newest key, {current} were already.")
    if lost:
        typer.echo(
            f"No key of SECRET_KEYS opens the secrets of: {', '.join(lost)}. Add the old key, "
            "or enter these secrets again.",
            err=True,
        )
        raise typer.Exit(1)
