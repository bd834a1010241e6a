"""Checks that a mailbox can send: reads its domain's DNS, signs in at its server, sends a test mail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, make_msgid

import dns.resolver
from botocore.exceptions import BotoCoreError, ClientError

from sequence_store.domain.addresses import Address, parse_address
from sequence_store.settings import SmtpSettings
from step_mailing_worker import headers
from step_mailing_worker.credentials import Credentials, Keep
from step_mailing_worker.dns_records import Finding, Grade, check_records
from step_mailing_worker.endpoints import SES, endpoint_of
from step_mailing_worker.errors import (
    LostError,
    MailError,
    NoCredentialError,
    RefusedError,
    UntrustedError,
)
from step_mailing_worker.mail import Mail
from step_mailing_worker.mailbox_connections import MailboxConnections
from step_mailing_worker.ses import SesTransport, ses_client
from step_mailing_worker.signing import Signer
from step_mailing_worker.smtp import Bounds, Endpoint
from step_mailing_worker.smtp_replies import Reply, storable

_SIGN_IN, _MAIL = "sign-in", "mail"
_REFUSED = 400
_SES_SECONDS = 10.0


@dataclass(frozen=True)
class CheckedMailbox:
    """The columns of `mailboxes` that a check needs."""

    mailbox_id: int
    address: str
    display_name: str | None
    smtp_host: str | None
    smtp_port: int | None
    smtp_security: str | None
    smtp_username: str | None
    smtp_secret: str | None


async def check_mailbox(
    mailbox: CheckedMailbox,
    settings: SmtpSettings,
    resolver: dns.resolver.Resolver,
    keep: Keep,
    send_to: Address | None = None,
) -> list[Finding]:
    """Return one finding per check; `keep` stores a replaced refresh token.

    With `send_to`, send a test mail to that address, as the worker would: same server, sign-in and signature.
    """
    try:
        address = parse_address(mailbox.address)
    except ValueError:
        return [Finding("address", Grade.FAILURE, f"{mailbox.address} is not a valid mail address")]
    signer = Signer.of(settings.dkim_keys)
    findings = check_records(address.domain, resolver, signer.public_key_of(address.domain))
    try:
        endpoint = endpoint_of(mailbox, address, settings)
    except UntrustedError as error:
        return [*findings, Finding(_SIGN_IN, Grade.FAILURE, error.reason)]
    credentials = Credentials(settings, keep)
    try:
        findings.append(await _finding(_SIGN_IN, endpoint, _signed_in(endpoint, settings, credentials)))
        if send_to is not None:
            mail = sample_mail(mailbox, address, send_to)
            sent = _sent(endpoint, signer, mail, settings, credentials)
            findings.append(await _finding(_MAIL, endpoint, sent))
    finally:
        await credentials.close()
    return findings


def sample_mail(mailbox: CheckedMailbox, sender: Address, recipient: Address) -> Mail:
    """Return a short mail of the mailbox to a person who checks it."""
    own_id = make_msgid(domain=sender.domain)
    lines = {
        "From": headers.mailbox(headers.checked(mailbox.display_name or ""), sender),
        "To": headers.mailbox("", recipient),
        "Subject": headers.text(f"Test mail of {sender}"),
        "Date": format_datetime(datetime.now(UTC)),
        "Message-ID": own_id,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "7bit",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    body = "This mail was sent by `sequences mailbox check --send-to`.\r\nThe mailbox can send.\r\n"
    return Mail(sender, recipient, own_id, f"{head}\r\n{body}".encode())


async def _finding(name: str, endpoint: Endpoint, check: Awaitable[Finding]) -> Finding:
    """Return the check's finding; an error of the server becomes a failure."""
    try:
        return await check
    except RefusedError as error:
        detail = f"{error.reply.code} {storable(error.reply.text)}"
    except (LostError, NoCredentialError, UntrustedError) as error:
        detail = error.reason
    except MailError as error:
        detail = error.reason
    return Finding(name, Grade.FAILURE, f"{_server(endpoint)}: {detail}")


async def _signed_in(endpoint: Endpoint, settings: SmtpSettings, credentials: Credentials) -> Finding:
    if endpoint.host.startswith(SES):
        return await _check_ses(endpoint, credentials)
    return await _check_server(endpoint, settings, credentials)


async def _sent(
    endpoint: Endpoint, signer: Signer, mail: Mail, settings: SmtpSettings, credentials: Credentials
) -> Finding:
    if endpoint.host.startswith(SES):
        transport = SesTransport(settings, credentials)
        try:
            reply = await transport.send(endpoint, mail, _no_gate)
        finally:
            transport.close()
    else:
        reply = await _transferred(endpoint, signer.signed(mail), settings, credentials)
    text = f"{_server(endpoint)}: {reply.code} {storable(reply.text)}"
    if reply.code >= _REFUSED:
        return Finding(_MAIL, Grade.FAILURE, text)
    return Finding(_MAIL, Grade.OK, f"{text}. Look for it in the inbox, and in the junk folder")


async def _transferred(
    endpoint: Endpoint, mail: Mail, settings: SmtpSettings, credentials: Credentials
) -> Reply:
    bounds = Bounds(float(settings.smtp_timeout_seconds), float(settings.smtp_final_dot_seconds))
    connections = MailboxConnections(bounds, credentials)
    try:
        async with connections.begun(endpoint, mail) as connection:
            await connection.rcpt(mail)
            return await connection.transfer(mail)
    finally:
        await connections.close()


async def _no_gate() -> None:
    """Pass: a test mail is no send and has no gate."""


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
