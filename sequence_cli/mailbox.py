"""Commands `sequences mailbox …`: rotate mailbox secrets, check DNS records and sign-in."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from sequence_cli.output import AsJson, print_json

app = typer.Typer(no_args_is_help=True, help="Maintain mailboxes: secrets, DNS records, sign-in.")


@app.command("rotate-secrets")
def rotate_secrets() -> None:
    """Encrypt every secret of mailboxes and webhooks with the newest key of SECRET_KEYS.

    Then remove the older keys.
    """
    from sequence_store.errors import SecretError
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.secrets.at_rest import SecretBox
    from sequence_store.settings import OperatorSettings, read_settings

    settings = read_settings(OperatorSettings)
    box = SecretBox(settings.keys_of_secrets, takes_unsealed=True)
    sealed = current = 0
    lost: list[str] = []

    def newest(owner: str, stored: str | None) -> str | None:
        nonlocal sealed, current
        if stored is None:
            return None
        if box.is_current(stored):
            current += 1
            return stored
        try:
            secret = box.seal(box.open(stored))
        except SecretError:
            lost.append(owner)
            return stored
        sealed += 1
        return secret

    with connect(settings.database_url, name="sequences mailbox") as connection:
        for mailbox_id, address, stored in connection.execute(query("mailbox", "read_secrets")).fetchall():
            if (secret := newest(address, stored)) != stored:
                connection.execute(query("mailbox", "replace_secret"), {"id": mailbox_id, "secret": secret})
        webhooks = connection.execute(query("mailbox", "read_webhook_secrets")).fetchall()
        for webhook_id, name, *stored in webhooks:
            secret, previous = (newest(f"webhook {name}", one) for one in stored)
            values = {"id": webhook_id, "secret": secret, "previous": previous}
            connection.execute(query("mailbox", "replace_webhook_secrets"), values)
    typer.echo(f"{sealed} secrets were encrypted with the newest key; {current} were up to date.")
    if lost:
        typer.echo(
            f"No key in SECRET_KEYS decrypts the secrets of: {', '.join(lost)}. Add the old key, "
            "or enter these secrets again in the API.",
            err=True,
        )
        raise typer.Exit(1)


@app.command()
def check(
    address: Annotated[str, typer.Argument(help="The mailbox's address.")],
    as_json: AsJson = False,
    nameserver: Annotated[
        str | None, typer.Option(help="Name server to use instead of the system's: IP[:PORT].")
    ] = None,
    send_to: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Send a test mail to this address, yours.")
    ] = None,
) -> None:
    """Check SPF, DKIM, DMARC and MX of the mailbox's domain and its SMTP sign-in.

    Without --send-to, nothing is sent. The command connects to the database as the owner (DATABASE_URL), or
    in a worker's container as the worker (WORKER_DATABASE_URL).
    """
    from psycopg.rows import class_row

    from sequence_store.domain.addresses import address_or_text, parse_address
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OperatorSettings, WorkerSettings, read_settings
    from step_mailing_worker.dns_records import Grade, resolver_of
    from step_mailing_worker.mailbox_check import CheckedMailbox, check_mailbox

    try:
        recipient = parse_address(send_to) if send_to else None
    except ValueError as error:
        raise typer.BadParameter(f"{send_to} is not a valid mail address", param_hint="--send-to") from error
    settings: OperatorSettings | WorkerSettings
    if "WORKER_DATABASE_URL" in os.environ and "DATABASE_URL" not in os.environ:
        settings = read_settings(WorkerSettings)
        database_url = settings.worker_database_url
    else:
        settings = read_settings(OperatorSettings)
        database_url = settings.database_url
    with connect(database_url, name="sequences mailbox") as connection:
        cursor = connection.cursor(row_factory=class_row(CheckedMailbox))
        mailbox = cursor.execute(
            query("worker", "read_mailbox"), {"address": address_or_text(address)}
        ).fetchone()
    if mailbox is None:
        typer.echo(f"No mailbox has the address {address}.", err=True)
        raise typer.Exit(1)

    async def keep(mailbox_id: int, before: str, after: str) -> bool:
        with connect(database_url, name="sequences mailbox") as connection:
            values = {"mailbox_id": mailbox_id, "before": before, "after": after}
            return bool(connection.execute(query("worker", "keep_secret"), values).rowcount)

    findings = asyncio.run(check_mailbox(mailbox, settings, resolver_of(nameserver), keep, recipient))
    if as_json:
        details = [{"name": f.name, "grade": f.grade, "detail": f.detail} for f in findings]
        print_json({"address": mailbox.address, "findings": details})
    else:
        typer.echo(mailbox.address)
        for finding in findings:
            typer.echo(f"  {finding.name:<8} {finding.grade:<8} {finding.detail}")
    if any(finding.grade is Grade.FAILURE for finding in findings):
        raise typer.Exit(1)
