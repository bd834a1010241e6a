"""Chooses the server and the sign-in that a mailbox sends with."""

from __future__ import annotations

from typing import Protocol, cast

from sequence_store.domain.addresses import Address
from sequence_store.domain.states import AttemptReason
from sequence_store.settings import LOCAL, SmtpSettings
from step_mailing_worker.errors import UntrustedError
from step_mailing_worker.smtp import Endpoint, Security

SES = "ses:"  # prefix of a host that is an AWS region

_PORTS: dict[Security, int] = {"none": 25, "starttls": 587, "tls": 465}


class MailboxServer(Protocol):
    """The server columns of a mailbox; null means the deployment's own server."""

    @property
    def mailbox_id(self) -> int: ...
    @property
    def smtp_host(self) -> str | None: ...
    @property
    def smtp_port(self) -> int | None: ...
    @property
    def smtp_security(self) -> str | None: ...
    @property
    def smtp_username(self) -> str | None: ...
    @property
    def smtp_secret(self) -> str | None: ...


def password_in_clear(security: str, settings: SmtpSettings) -> bool:
    """Return whether a sign-in would send its password without TLS, which only `local` allows."""
    return security == "none" and settings.sequence_environment != LOCAL


def endpoint_of(mailbox: MailboxServer, sender: Address, settings: SmtpSettings) -> Endpoint:
    """Return the mailbox's own server, else the server of the settings.

    Raise UntrustedError if there is no server, or if the password would be sent without TLS.
    """
    if not (mailbox.smtp_host or settings.smtp_host):
        raise UntrustedError(AttemptReason.NO_SMTP_HOST)
    security = cast("Security", mailbox.smtp_security or settings.smtp_security)
    by_smtp = not (mailbox.smtp_host or settings.smtp_host).startswith(SES)
    if by_smtp and mailbox.smtp_username and password_in_clear(security, settings):
        raise UntrustedError(AttemptReason.PASSWORD_WITHOUT_TLS)
    own_port = mailbox.smtp_port or (_PORTS[security] if mailbox.smtp_host else None)
    return Endpoint(
        mailbox_id=mailbox.mailbox_id,
        host=mailbox.smtp_host or settings.smtp_host,
        port=own_port or settings.smtp_port,
        security=security,
        helo=sender.domain,
        public=bool(mailbox.smtp_host) and settings.sequence_environment != LOCAL,
        delivers=settings.sequence_environment != LOCAL,
        username=mailbox.smtp_username or None,
        secret=mailbox.smtp_secret,
    )
