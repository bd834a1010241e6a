"""Sends mails through Amazon SES: for mailboxes with `ses:<region>` as host, one sesv2 call per mail.

Errors are translated to SMTP replies, as the SMTP interface of SES does, so that `smtp_replies` classifies
them. The client does not retry: if a call may have reached SES, the outcome is unknown, as after a final dot.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)

from sequence_store.domain.states import AttemptReason
from sequence_store.settings import SmtpSettings
from step_mailing_worker.credentials import Credentials
from step_mailing_worker.endpoints import SES
from step_mailing_worker.errors import LostError, NoCredentialError
from step_mailing_worker.mail import Mail
from step_mailing_worker.smtp import Endpoint
from step_mailing_worker.smtp_replies import Phase, Reply

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sesv2.type_defs import SendEmailRequestTypeDef

Value = TypeVar("Value")

CALLS_AT_ONCE = 32
_CONNECT_SECONDS = 5.0
_SERVER_ERRORS = 500

_REFERENCES = re.compile(rb"(?im)^References:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*")

_THROTTLED = "TooManyRequestsException|LimitExceededException|Throttling.*"
_NOT_ALLOWED = "MailFromDomainNotVerified.*|AccountSuspended.*|SendingPaused.*|NotFoundException"
_BAD_ACCESS_KEY = (
    "AccessDenied.*|UnrecognizedClient.*|InvalidSignature.*|SignatureDoesNotMatch"
    "|InvalidClientTokenId|InvalidAccessKeyId|ExpiredToken.*"
)

# Patterns of the error code and message; phase, code and enhanced code of the reply. The first match decides.
_REPLIES: tuple[tuple[str, str, Phase, int, str], ...] = (
    (_THROTTLED, r"daily|24.hour", Phase.DOT, 550, "5.4.5"),
    (_THROTTLED, r"", Phase.DOT, 454, "4.7.0"),
    ("MessageRejected", r"not verified|authority", Phase.DOT, 550, "5.7.1"),
    ("MessageRejected", r"", Phase.DOT, 554, "5.6.0"),
    ("BadRequestException", r"", Phase.DOT, 554, "5.6.0"),
    (_NOT_ALLOWED, r"", Phase.DOT, 550, "5.7.1"),
    (_BAD_ACCESS_KEY, r"", Phase.AUTH, 535, "5.7.8"),
)


class SesTransport:
    """Sends mails through SES, with one client per account; all calls run in threads."""

    def __init__(self, settings: SmtpSettings, credentials: Credentials) -> None:
        self._configuration_set = settings.ses_configuration_set
        self._reply_seconds = settings.smtp_final_dot_seconds
        self._credentials = credentials
        self._clients: dict[tuple[str, str | None, str | None], SESV2Client] = {}
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="ses")

    async def send(self, endpoint: Endpoint, mail: Mail, pass_gate: Callable[[], Awaitable[None]]) -> Reply:
        """Pass the gate and send; return the reply. Raise MailError, NoCredentialError or LostError."""
        if mail.needs_utf8:
            raise mail.smtputf8_error()
        client = await self._client(endpoint)
        await pass_gate()
        return await self._in_thread(lambda: self._call(client, mail))

    def close(self) -> None:
        self._threads.shutdown()
        for client in self._clients.values():
            client.close()

    async def _client(self, endpoint: Endpoint) -> SESV2Client:
        secret = None
        if endpoint.username is not None:
            secret = (await self._credentials.of(endpoint.mailbox_id, endpoint.secret)).text
        account = (endpoint.host.removeprefix(SES), endpoint.username, secret)
        if account not in self._clients:
            self._clients[account] = await self._in_thread(
                lambda: ses_client(*account, reply_seconds=self._reply_seconds)
            )
        return self._clients[account]

    def _call(self, client: SESV2Client, mail: Mail) -> Reply:
        request: SendEmailRequestTypeDef = {
            "FromEmailAddress": str(mail.sender),
            "Destination": {"ToAddresses": [str(mail.recipient)]},
            "Content": {"Raw": {"Data": _with_own_reference(mail)}},
            "EmailTags": [{"Name": "send", "Value": mail.message_id.strip("<>").partition("@")[0]}],
        }
        if self._configuration_set:
            request["ConfigurationSetName"] = self._configuration_set
        try:
            response = client.send_email(**request)
        except ClientError as error:
            return _reply_to(error)
        except (NoCredentialsError, PartialCredentialsError):
            raise NoCredentialError(AttemptReason.NO_AWS_CREDENTIALS) from None
        except (EndpointConnectionError, ConnectTimeoutError) as error:
            raise LostError(Phase.CONNECT) from error
        except BotoCoreError as error:
            raise LostError(Phase.DOT) from error  # the call may have arrived
        return Reply(Phase.DOT, 250, f"Ok {response['MessageId']}")

    async def _in_thread(self, call: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def ses_client(region: str, key_id: str | None, secret: str | None, *, reply_seconds: float) -> SESV2Client:
    """Create a client for a region, with the mailbox's access key or the process's AWS credentials."""
    return boto3.session.Session().client(
        "sesv2",
        region_name=region,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=reply_seconds,
            max_pool_connections=CALLS_AT_ONCE,
            retries={"mode": "standard", "total_max_attempts": 1},
        ),
    )


def _with_own_reference(mail: Mail) -> bytes:
    """Add the Message-ID to References: SES replaces the Message-ID, and replies quote the References."""
    own = mail.message_id.encode()
    head, end, body = mail.content.partition(b"\r\n\r\n")
    if _REFERENCES.search(head):
        head = _REFERENCES.sub(lambda found: found[0] + b"\r\n " + own, head, count=1)
    else:
        head += b"\r\nReferences: " + own
    return head + end + body


def _reply_to(error: ClientError) -> Reply:
    code, text = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    for kinds, words, phase, smtp_code, enhanced in _REPLIES:
        if re.fullmatch(kinds, code) and re.search(words, text, re.IGNORECASE):
            return Reply(phase, smtp_code, f"{enhanced} {code}: {text}")
    if status >= _SERVER_ERRORS:
        return Reply(Phase.DOT, 451, f"4.3.0 {code}: {text}")
    # An error code that is not in the table is a fault of the account, not of the contact.
    return Reply(Phase.DOT, 550, f"5.7.0 Error of Amazon SES: {code}: {text}")
