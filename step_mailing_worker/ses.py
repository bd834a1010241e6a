"""Amazon SES as a mailbox's transport: `ses:<region>` in place of a host, one call of sesv2 a mail.

Its answers are put into SMTP's words, as SES itself does where it is spoken to by SMTP, so that one table says what
they mean. Nothing is tried twice by the client: a call that may have arrived is unknown, as a final dot is.
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

from sequence_store.domain.states import Fault
from sequence_store.settings import WorkerSettings
from step_mailing_worker.credentials import Credentials
from step_mailing_worker.endpoints import SES
from step_mailing_worker.errors import LostError, MailError, NoCredentialError
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

# What SES refuses with, as the answer that its SMTP interface gives; the first that fits.
_ANSWERS: tuple[tuple[str, str, Phase, int, str], ...] = (
    ("TooManyRequestsException|LimitExceededException|Throttling.*", r"daily|24.hour", Phase.DOT, 550, "5.4.5"),
    ("TooManyRequestsException|LimitExceededException|Throttling.*", r"", Phase.DOT, 454, "4.7.0"),
    ("MessageRejected", r"not verified|authority", Phase.DOT, 550, "5.7.1"),
    ("MessageRejected", r"", Phase.DOT, 554, "5.6.0"),
    ("BadRequestException", r"", Phase.DOT, 554, "5.6.0"),
    ("MailFromDomainNotVerified.*|AccountSuspended.*|SendingPaused.*|NotFoundException", r"", Phase.DOT, 550, "5.7.1"),
    ("AccessDenied.*|UnrecognizedClient.*|InvalidSignature.*|SignatureDoesNotMatch", r"", Phase.AUTH, 535, "5.7.8"),
    ("InvalidClientTokenId|InvalidAccessKeyId|ExpiredToken.*", r"", Phase.AUTH, 535, "5.7.8"),
)  # fmt: skip


class SesTransport:
    """Sends through SES; a client a mailbox's account, all calls in threads."""

    def __init__(self, settings: WorkerSettings, credentials: Credentials) -> None:
        self._configuration_set = settings.ses_configuration_set
        self._answer_seconds = settings.smtp_final_dot_seconds
        self._credentials = credentials
        self._clients: dict[tuple[str, str | None, str | None], SESV2Client] = {}
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="ses")

    async def send(self, endpoint: Endpoint, mail: Mail, pass_gate: Callable[[], Awaitable[None]]) -> Reply:
        """Pass the gate and send; return the answer. Raise MailError, NoCredentialError or LostError."""
        if mail.needs_utf8:
            raise MailError(
                "smtputf8_not_offered", fault=Fault.MAILBOX if mail.sender.needs_utf8 else Fault.RECIPIENT
            )
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
            if not endpoint.secret:
                raise NoCredentialError("secret_missing")
            secret = (await self._credentials.of(endpoint.mailbox_id, endpoint.secret)).text
        account = (endpoint.host.removeprefix(SES), endpoint.username, secret)
        if account not in self._clients:
            self._clients[account] = await self._in_thread(
                lambda: ses_client(*account, answer_seconds=self._answer_seconds)
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
            answer = client.send_email(**request)
        except ClientError as error:
            return _answer_of(error)
        except (NoCredentialsError, PartialCredentialsError):
            raise NoCredentialError("no_aws_credentials") from None
        except (EndpointConnectionError, ConnectTimeoutError) as error:
            raise LostError(Phase.CONNECT) from error
        except BotoCoreError as error:
            raise LostError(Phase.DOT) from error  # the call may have arrived
        return Reply(Phase.DOT, 250, f"Ok {answer['MessageId']}")

    async def _in_thread(self, call: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def ses_client(region: str, key_id: str | None, secret: str | None, *, answer_seconds: float) -> SESV2Client:
    """Make a client of a region, with a mailbox's own access key or this process's usual credentials."""
    return boto3.session.Session().client(
        "sesv2",
        region_name=region,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=answer_seconds,
            max_pool_connections=CALLS_AT_ONCE,
            retries={"mode": "standard", "total_max_attempts": 1},
        ),
    )


def _with_own_reference(mail: Mail) -> bytes:
    """Name the mail in its own References: SES gives it another Message-ID, and replies repeat these."""
    own = mail.message_id.encode()
    head, end, body = mail.content.partition(b"\r\n\r\n")
    if _REFERENCES.search(head):
        head = _REFERENCES.sub(lambda found: found[0] + b"\r\n " + own, head, count=1)
    else:
        head += b"\r\nReferences: " + own
    return head + end + body


def _answer_of(error: ClientError) -> Reply:
    code, text = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    for kinds, words, phase, answer, enhanced in _ANSWERS:
        if re.fullmatch(kinds, code) and re.search(words, text, re.IGNORECASE):
            return Reply(phase, answer, f"{enhanced} {code}: {text}")
    if status >= _SERVER_ERRORS:
        return Reply(Phase.DOT, 451, f"4.3.0 {code}: {text}")
    return Reply(
        Phase.DOT, 550, f"5.7.0 {code}: {text}"
    )  # an error of ours that SES may add: no contact pays
