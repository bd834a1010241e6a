"""Checks that a mailbox can send: reads its domain's DNS records and signs in at its server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import dns.resolver
from botocore.exceptions import BotoCoreError, ClientError

from sequence_store.domain.addresses import parse_address
from sequence_store.settings import SmtpSettings
from step_mailing_worker.credentials import Credentials, Keep
from step_mailing_worker.dns_records import Finding, Grade, check_records
from step_mailing_worker.endpoints import SES, endpoint_of
from step_mailing_worker.errors import (
    LostError,
    NoCredentialError,
    RefusedError,
    UntrustedError,
)
from step_mailing_worker.mailbox_connections import MailboxConnections
from step_mailing_worker.ses import ses_client
from step_mailing_worker.signing import Signer
from step_mailing_worker.smtp import Bounds, Endpoint
from step_mailing_worker.smtp_replies import storable

_SIGN_IN = "sign-in"
_SES_SECONDS = 10.0


@dataclass(frozen=True)
class CheckedMailbox:
    """The columns of `mailboxes` that a check needs."""

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
    """Return one finding per check. Sends no mail; `keep` stores a replaced refresh token."""
    try:
        address = parse_address(mailbox.address)
    except ValueError:
        return [Finding("address", Grade.FAILURE, f"{mailbox.address} is not a valid mail address")]
    keys = Signer.of(settings.dkim_keys).public_key_of(address.domain)
    findings = check_records(address.domain, resolver, keys)
    try:
        endpoint = endpoint_of(mailbox, address, settings)
    except UntrustedError as error:
        return [*findings, Finding(_SIGN_IN, Grade.FAILURE, error.reason)]
    return [*findings, await _sign_in(endpoint, settings, keep)]


async def _sign_in(endpoint: Endpoint, settings: SmtpSettings, keep: Keep) -> Finding:
    credentials = Credentials(settings, keep)
    try:
        if endpoint.host.startswith(SES):
            return await _check_ses(endpoint, credentials)
        return await _check_server(endpoint, settings, credentials)
    except RefusedError as error:
        detail = f"{error.reply.code} {storable(error.reply.text)}"
    except (LostError, NoCredentialError, UntrustedError) as error:
        detail = error.reason
    finally:
        await credentials.close()
    return Finding(_SIGN_IN, Grade.FAILURE, f"{_server(endpoint)}: {detail}")


async def _check_server(endpoint: Endpoint, settings: SmtpSettings, credentials: Credentials) -> Finding:
    seconds = float(settings.smtp_timeout_seconds)
    connection = await MailboxConnections(Bounds(seconds, seconds), credentials).opened(endpoint)
    await connection.quit()
    account = f"as {endpoint.username}" if endpoint.username else "without sign-in: it has no username"
    return Finding(_SIGN_IN, Grade.OK, f"{_server(endpoint)}, {account}")


async def _check_ses(endpoint: Endpoint, credentials: Credentials) -> Finding:
    """Check that SES has verified the domain for sending."""
    secret = None
    if endpoint.username and endpoint.secret:
        secret = (await credentials.of(endpoint.mailbox_id, endpoint.secret)).text
    region = endpoint.host.removeprefix(SES)
    client = ses_client(region, endpoint.username, secret, reply_seconds=_SES_SECONDS)
    try:
        identity = await asyncio.to_thread(client.get_email_identity, EmailIdentity=endpoint.helo)
    except (ClientError, BotoCoreError) as error:
        return Finding(_SIGN_IN, Grade.FAILURE, f"{endpoint.host}: {storable(str(error))}")
    finally:
        client.close()
    verified = identity["VerifiedForSendingStatus"]
    detail = f"{endpoint.host}: {endpoint.helo} is {'' if verified else 'not '}verified for sending"
    return Finding(_SIGN_IN, Grade.OK if verified else Grade.FAILURE, detail)


def _server(endpoint: Endpoint) -> str:
    return f"{endpoint.host}:{endpoint.port} ({endpoint.security})"
