"""Provides the credential of a mailbox: a password, or an OAuth 2 access token requested from its provider.

A secret is a password, unless it is a JSON object with a `refresh_token`; docs/settings.md lists its fields.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, ValidationError

from sequence_store.domain.states import AttemptReason
from sequence_store.errors import SecretError
from sequence_store.loopback import DIRECT_MOUNTS
from sequence_store.secrets.at_rest import SecretBox, is_reference, referred
from sequence_store.settings import LOCAL, SmtpSettings
from step_mailing_worker import logs
from step_mailing_worker.errors import LostError, NoCredentialError
from step_mailing_worker.smtp_replies import Phase

REFERENCE_SECONDS = 300.0
TOKEN_MARGIN_SECONDS = 60.0  # a token could expire between its check and its use
TOKEN_SECONDS = 3600.0  # default if the provider gives no `expires_in`
_ANSWER_SECONDS = 10.0
_CLIENT_ERRORS = 400
_SERVER_ERRORS = 500
_TOO_MANY = 429

_TOKEN_URLS = {
    "google": "https://oauth2.googleapis.com/token",
    "microsoft": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
}
_SCOPES = {
    "microsoft": "https://outlook.office.com/SMTP.Send https://outlook.office.com/IMAP.AccessAsUser.All "
    "offline_access",
}

Keep = Callable[[int, str, str], Awaitable[bool]]


@dataclass(frozen=True)
class Credential:
    """A password or an access token; `fresh` if it does not come from a cache."""

    kind: Literal["password", "token"]
    text: str = field(repr=False)
    fresh: bool = True


class OAuthSecret(BaseModel):
    """A stored OAuth 2 grant; `provider` may be omitted if `token_url` is set."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    provider: Literal["google", "microsoft", "generic"] = "generic"
    client_id: str
    client_secret: str | None = None
    refresh_token: str
    tenant: str = "common"
    token_url: str | None = None
    scope: str | None = None

    @property
    def url(self) -> str:
        return self.token_url or _TOKEN_URLS.get(self.provider, "").format(tenant=self.tenant)

    @property
    def form(self) -> dict[str, str]:
        fields = {
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": self.refresh_token,
            "scope": self.scope or _SCOPES.get(self.provider),
        }
        return {name: value for name, value in fields.items() if value}

    @property
    def grant(self) -> OAuthSecret:
        """Return the grant without its refresh token, which the provider may replace."""
        return self.model_copy(update={"refresh_token": ""})


@dataclass(frozen=True)
class _Token:
    grant: OAuthSecret
    text: str
    expires_at: float  # monotonic clock, seconds


class Credentials:
    """Opens secrets and caches access tokens until they expire, with one concurrent refresh per mailbox.

    `keep` stores a refresh token that the provider replaced; its arguments are the mailbox id, the old
    stored secret and the new one.
    """

    def __init__(self, settings: SmtpSettings, keep: Keep) -> None:
        self._box = SecretBox.of(settings)
        self._plain_http = settings.sequence_environment == LOCAL
        self._region = settings.aws_region
        self._keep = keep
        self._http = httpx.AsyncClient(timeout=_ANSWER_SECONDS, mounts=DIRECT_MOUNTS)
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tokens: dict[int, _Token] = {}
        self._references: dict[str, tuple[str, float]] = {}

    async def of(self, mailbox_id: int, stored: str | None) -> Credential:
        """Return the credential of a stored secret; raise NoCredentialError, or LostError to retry later."""
        if not stored:
            raise NoCredentialError(AttemptReason.SECRET_MISSING)
        secret, fresh = await self._opened(stored)
        oauth = _oauth_of(secret)
        if oauth is None:
            return Credential("password", secret, fresh)
        async with self._locks[mailbox_id]:
            token = self._tokens.get(mailbox_id)
            if token and token.grant == oauth.grant and token.expires_at > time.monotonic():
                return Credential("token", token.text, fresh=False)
            token = await self._refreshed(mailbox_id, stored, oauth)
            self._tokens[mailbox_id] = token
            return Credential("token", token.text)

    def forget(self, mailbox_id: int, stored: str | None, refused: Credential) -> bool:
        """Remove a refused credential from the caches; return whether `of` may now give another one."""
        if stored:
            self._references.pop(stored, None)
        token = self._tokens.get(mailbox_id)
        if token and token.text == refused.text:
            del self._tokens[mailbox_id]
        return not refused.fresh

    async def close(self) -> None:
        await self._http.aclose()

    async def _opened(self, stored: str) -> tuple[str, bool]:
        try:
            secret = self._box.open(stored)
        except SecretError as error:
            raise NoCredentialError(error.reason) from None
        return await self._looked_up(secret) if is_reference(secret) else (secret, True)

    async def _looked_up(self, reference: str) -> tuple[str, bool]:
        value, expires_at = self._references.get(reference, ("", 0.0))
        if expires_at > time.monotonic():
            return value, False
        try:
            value = await asyncio.to_thread(_secret_value, reference, self._region)
        except ClientError as error:
            if error.response["Error"]["Code"] in _LASTING_ERRORS:
                raise NoCredentialError(AttemptReason.SECRET_NOT_FOUND) from None
            raise LostError(Phase.TOKEN) from error
        except BotoCoreError as error:
            raise LostError(Phase.TOKEN) from error
        self._references[reference] = (value, time.monotonic() + REFERENCE_SECONDS)
        return value, True

    async def _refreshed(self, mailbox_id: int, stored: str, oauth: OAuthSecret) -> _Token:
        response = await self._request_token(oauth)
        token, seconds = response.get("access_token"), response.get("expires_in")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise NoCredentialError(AttemptReason.TOKEN_UNREADABLE)
        replaced = response.get("refresh_token")
        if isinstance(replaced, str) and replaced not in {"", oauth.refresh_token}:
            await self._keep_replaced(
                mailbox_id, stored, oauth.model_copy(update={"refresh_token": replaced})
            )
        lives = float(seconds) if isinstance(seconds, (int, float)) else TOKEN_SECONDS
        return _Token(oauth.grant, token, time.monotonic() + lives - TOKEN_MARGIN_SECONDS)

    async def _request_token(self, oauth: OAuthSecret) -> dict[str, object]:
        if not oauth.url.startswith("https://") and not (
            self._plain_http and oauth.url.startswith("http://")
        ):
            raise NoCredentialError(AttemptReason.TOKEN_URL_WITHOUT_TLS)
        try:
            response = await self._http.post(oauth.url, data=oauth.form)
            body = json.loads(response.content)
        except httpx.TimeoutException as error:
            raise LostError(Phase.TOKEN, timed_out=True) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise LostError(Phase.TOKEN) from error
        except ValueError:
            body = {}
        if response.status_code == _TOO_MANY or response.status_code >= _SERVER_ERRORS:
            raise LostError(Phase.TOKEN)
        if response.status_code >= _CLIENT_ERRORS:
            raise NoCredentialError(f"{AttemptReason.TOKEN_REFUSED}: {_error_name(body)}")
        return body if isinstance(body, dict) else {}

    async def _keep_replaced(self, mailbox_id: int, stored: str, oauth: OAuthSecret) -> None:
        if is_reference(stored):
            logs.warn("refresh_token_replaced_but_secret_is_a_reference", mailbox=mailbox_id)
            return
        await self._keep(mailbox_id, stored, self._box.seal(oauth.model_dump_json(exclude_none=True)))


_LASTING_ERRORS = {"ResourceNotFoundException", "AccessDeniedException", "InvalidRequestException"}


def _secret_value(reference: str, region: str) -> str:
    name, own_region = referred(reference)
    config = Config(connect_timeout=3, read_timeout=_ANSWER_SECONDS, retries={"total_max_attempts": 2})
    client = boto3.client("secretsmanager", region_name=own_region or region, config=config)
    try:
        return client.get_secret_value(SecretId=name)["SecretString"]
    finally:
        client.close()


def _oauth_of(secret: str) -> OAuthSecret | None:
    if not (secret.startswith("{") and '"refresh_token"' in secret):
        return None
    try:
        return OAuthSecret.model_validate_json(secret)
    except ValidationError:
        raise NoCredentialError(AttemptReason.SECRET_NOT_UNDERSTOOD) from None


def _error_name(body: object) -> str:
    """Return the provider's error code (`invalid_grant`); its description may contain personal data."""
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, str) and error.isascii() and error.isidentifier() else "unnamed"
