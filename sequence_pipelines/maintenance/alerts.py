"""Tells people of a failed run: to Slack, to a webhook, by e-mail, wherever a setting names the way."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import httpx

from sequence_store.settings import PipelineSettings

SECONDS = 10.0


@dataclass(frozen=True)
class Failure:
    """What failed; no address and no secret: it leaves the house."""

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


def send_alert(failure: Failure, settings: PipelineSettings) -> list[str]:
    """Send it every way that a setting names, and return them; raise the first error once all were tried."""
    ways = {
        "slack": (settings.alert_slack_url, _post_to_slack),
        "webhook": (settings.alert_webhook_url, _post),
        "mail": (settings.alert_smtp_url and settings.alert_mail_to, _mail),
    }
    sent, errors = [], []
    for name, (wanted, send) in ways.items():
        if wanted:
            try:
                send(failure, settings)
                sent.append(name)
            except (httpx.HTTPError, OSError, smtplib.SMTPException) as error:
                errors.append(error)
    if errors:
        raise errors[0]
    return sent


def _post_to_slack(failure: Failure, settings: PipelineSettings) -> None:
    if settings.alert_slack_url:
        url = settings.alert_slack_url.get_secret_value()
        httpx.post(url, json={"text": failure.text}, timeout=SECONDS).raise_for_status()


def _post(failure: Failure, settings: PipelineSettings) -> None:
    if settings.alert_webhook_url:
        url = settings.alert_webhook_url.get_secret_value()
        httpx.post(url, json={"event": "run_failed", **asdict(failure)}, timeout=SECONDS).raise_for_status()


def _mail(failure: Failure, settings: PipelineSettings) -> None:
    if not (settings.alert_smtp_url and settings.alert_mail_to):
        return
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = (
        failure.title,
        settings.alert_mail_from,
        settings.alert_mail_to,
    )
    mail.set_content(failure.text)
    server = urlsplit(settings.alert_smtp_url.get_secret_value())
    tls = ssl.create_default_context()
    host = server.hostname or ""
    with (
        smtplib.SMTP_SSL(host, server.port or 465, timeout=SECONDS, context=tls)
        if server.scheme == "smtps"
        else smtplib.SMTP(host, server.port or 587, timeout=SECONDS)
    ) as smtp:
        if server.username:
            if server.scheme == "smtp":
                smtp.starttls(context=tls)
            smtp.login(unquote(server.username), unquote(server.password or ""))
        smtp.send_message(mail)
