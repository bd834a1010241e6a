"""Whether a mailbox can send: its domain's records, and its sign-in, tried for real."""

from __future__ import annotations

from dataclasses import dataclass

import dns.resolver

from sequence_store.settings import SmtpSettings
from step_mailing_worker.addresses import parse_address
from step_mailing_worker.credentials import Credentials, Keep
from step_mailing_worker.dns_records import Finding, Grade, look_at_records
from step_mailing_worker.endpoints import endpoint_of
from step_mailing_worker.errors import (
    LostError,
    NoCredentialError,
    RefusedError,
    UntrustedError,
)
from step_mailing_worker.mailbox_connections import MailboxConnections
from step_mailing_worker.replies import storable
from step_mailing_worker.signing import Signer
from step_mailing_worker.smtp import Bounds, Endpoint

_SIGN_IN = "sign-in"


@dataclass(frozen=True)
class CheckedMailbox:
    """What the database says of it."""

    mailbox_id: int
    address: str
    smtp_host: str | None
    smtp_port: int | None
    smtp_security: str | None
    smtp_username: str | None
    smtp_secret: str | None


async def check_mailbox(
    mailbox: CheckedMailbox, settings: SmtpSettings, resolver: dns.resolver.Resolver, keep: Keep
) -> list[Finding]:
    """Return everything that was looked at. Sends nothing; `keep` stores a replaced refresh token."""
    try:
        address = parse_address(mailbox.address)
    except ValueError:
        return [Finding("address", Grade.FAILURE, f"{mailbox.address} is not one mail address")]
    keys = Signer.of(settings.dkim_keys).public_key_of(address.domain)
    findings = look_at_records(address.domain, resolver, keys)
    try:
        endpoint = endpoint_of(mailbox, address, settings)
    except UntrustedError as error:
        return [*findings, Finding(_SIGN_IN, Grade.FAILURE, error.reason)]
    return [*findings, await _sign_in(endpoint, settings, keep)]


async def _sign_in(endpoint: Endpoint, settings: SmtpSettings, keep: Keep) -> Finding:
    seconds = float(settings.smtp_timeout_seconds)
    credentials = Credentials(settings, keep)
    where = f"{endpoint.host}:{endpoint.port} ({endpoint.security})"
    try:
        connection = await MailboxConnections(Bounds(seconds, seconds), credentials).opened(endpoint)
    except RefusedError as error:
        return Finding(_SIGN_IN, Grade.FAILURE, f"{where}: {error.reply.code} {storable(error.reply.text)}")
    except (LostError, NoCredentialError, UntrustedError) as error:
        return Finding(_SIGN_IN, Grade.FAILURE, f"{where}: {error.reason}")
    finally:
        await credentials.close()
    await connection.quit()
    if endpoint.username is None:
        return Finding(_SIGN_IN, Grade.OK, f"{where}, as nobody: it has no username")
    return Finding(_SIGN_IN, Grade.OK, f"{where}, as {endpoint.username}")
