"""Sends alerts about failed runs and checks to Slack, a webhook and by e-mail, as configured."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import SecretStr

from sequence_store.loopback import is_loopback
from sequence_store.settings import PipelineSettings

TIMEOUT_SECONDS = 10.0


class Alert(Protocol):
    """What an alert says; the document is what the webhook gets."""

    @property
    def title(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def document(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Failure:
    """A failed run. It contains no address and no secret, because alerts go to other companies' servers."""

    environment: str
    job: str
    run_id: str
    partition: str | None
    error: str
    url: str | None

    @property
    def title(self) -> str:
        day = f" of {self.partition}" if self.partition else ""
        return f"[{self.environment}] {self.job}{day} failed"

    @property
    def text(self) -> str:
        return "\n".join([self.title, self.error, self.url or f"Run {self.run_id}"])

    @property
    def document(self) -> dict[str, Any]:
        return {"event": "run_failed", **asdict(self)}


@dataclass(frozen=True)
class CheckTurned:
    """A check that fails now, or passes again. It contains no address, as Failure."""

    environment: str
    asset: str
    check: str
    passed: bool
    meaning: str
    url: str | None

    @property
    def title(self) -> str:
        return f"[{self.environment}] the check {self.check} {'passes again' if self.passed else 'fails'}"

    @property
    def text(self) -> str:
        return "\n".join([self.title, self.meaning, *([self.url] if self.url else [])])

    @property
    def document(self) -> dict[str, Any]:
        return {"event": "check_passes_again" if self.passed else "check_failed", **asdict(self)}


def send_alert(alert: Alert, settings: PipelineSettings) -> list[str]:
    """Send the alert through every configured channel and return the channels that worked.

    Raise the first error (httpx.HTTPError, OSError or smtplib.SMTPException) after all channels were tried.
    """
    channels = {
        "slack": (settings.alert_slack_url, _post_to_slack),
        "webhook": (settings.alert_webhook_url, _post),
        "mail": (settings.alert_smtp_url and settings.alert_mail_to, _mail),
    }
    sent, errors = [], []
    for name, (configured, send) in channels.items():
        if configured:
            try:
                send(alert, settings)
                sent.append(name)
            except (httpx.HTTPError, OSError, smtplib.SMTPException) as error:
                errors.append(error)
    if errors:
        raise errors[0]
    return sent


def _post_to_slack(alert: Alert, settings: PipelineSettings) -> None:
    if settings.alert_slack_url:
        _send_json(settings.alert_slack_url, {"text": alert.text})


def _post(alert: Alert, settings: PipelineSettings) -> None:
    if settings.alert_webhook_url:
        _send_json(settings.alert_webhook_url, alert.document)


def _send_json(secret_url: SecretStr, document: dict[str, Any]) -> None:
    url = secret_url.get_secret_value()
    answer = httpx.post(url, json=document, timeout=TIMEOUT_SECONDS, trust_env=not is_loopback(url))
    answer.raise_for_status()


def _mail(alert: Alert, settings: PipelineSettings) -> None:
    if not (settings.alert_smtp_url and settings.alert_mail_to):
        return
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = (
        alert.title,
        settings.alert_mail_from,
        settings.alert_mail_to,
    )
    mail.set_content(alert.text)
    server = urlsplit(settings.alert_smtp_url.get_secret_value())
    tls = ssl.create_default_context()
    host = server.hostname or ""
    with (
        smtplib.SMTP_SSL(host, server.port or 465, timeout=TIMEOUT_SECONDS, context=tls)
        if server.scheme == "smtps"
        else smtplib.SMTP(host, server.port or 587, timeout=TIMEOUT_SECONDS)
    ) as smtp:
        if server.username:
            if server.scheme == "smtp":
                smtp.starttls(context=tls)
            smtp.login(unquote(server.username), unquote(server.password or ""))
        smtp.send_message(mail)
