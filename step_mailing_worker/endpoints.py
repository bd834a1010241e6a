"""Which server a mailbox sends through, and how it signs in."""

from __future__ import annotations

from typing import cast

from sequence_store.settings import LOCAL, WorkerSettings
from step_mailing_worker.addresses import Address
from step_mailing_worker.errors import UntrustedError
from step_mailing_worker.smtp import Endpoint, Security
from step_mailing_worker.store import ClaimedSend

_PORTS: dict[Security, int] = {"none": 25, "starttls": 587, "tls": 465}


def endpoint_of(send: ClaimedSend, sender: Address, settings: WorkerSettings) -> Endpoint:
    """Return the mailbox's own server, else the settings'; raise UntrustedError for a password in the clear."""
    security = cast("Security", send.smtp_security or settings.smtp_security)
    if send.smtp_username and security == "none" and settings.sequence_environment != LOCAL:
        raise UntrustedError("password_without_tls")
    own_port = send.smtp_port or (_PORTS[security] if send.smtp_host else None)
    return Endpoint(
        mailbox_id=send.mailbox_id,
        host=send.smtp_host or settings.smtp_host,
        port=own_port or settings.smtp_port,
        security=security,
        helo=sender.domain,
        username=send.smtp_username or None,
        secret=send.smtp_secret,
    )
