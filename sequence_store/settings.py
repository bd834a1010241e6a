"""Settings: environment variables, read once at a process's start and handed in.

Each has a default that suits the local stack, or is refused with its name. `docs/settings.md` and
`.env.example` list them all; a test compares.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import time
from typing import Annotated, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sequence_store.domain.planning_day import PlanningCalendar
from sequence_store.errors import SettingsError
from sequence_store.mail.link_tokens import LinkSigner

LOCAL = "local"
LOCAL_LINK_KEY = "local-link-key-not-for-production"
LOCAL_ADDRESS_KEY = "local-address-key-not-for-production"
LOCAL_SECRET_KEY = "bG9jYWwta2V5LW9mLXNlY3JldHMtbm90LWZvci1wcm8="  # noqa: S105


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no IANA time zone") from error
    return name


Zone = Annotated[str, AfterValidator(_known_zone)]
Seconds = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """What every process of the product reads."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True)

    sequence_environment: str = Field(
        LOCAL, min_length=1, description="Name of the deployment; messages of another one are refused"
    )
    sequence_time_zone: Zone = Field("UTC", description="Zone of the planning day")
    plan_at: time = Field(time(4), description="Wall-clock time at which a planning day starts")
    address_key: SecretStr = Field(
        SecretStr(LOCAL_ADDRESS_KEY), description="Secret key of the suppressions' address HMAC"
    )

    aws_region: str = Field("us-east-1", description="Region of the queues")
    aws_endpoint_url_sqs: str | None = Field(None, description="SQS endpoint; unset means Amazon's")
    sends_queue: str = Field("sequence-sends", description="Queue of timed send messages")
    delivery_results_queue: str = Field("sequence-delivery-results", description="Queue of delivery results")

    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="OTLP/HTTP collector of the traces of sends; unset: there are none"
    )
    otel_traces_sampler_arg: float = Field(0.01, ge=0, le=1, description="Share of the sends that is traced")

    @field_validator("plan_at")
    @classmethod
    def _whole_minutes(cls, value: time) -> time:
        if value.second or value.microsecond or value.tzinfo:
            raise ValueError("give a wall-clock time of whole minutes, HH:MM")
        return value

    @model_validator(mode="after")
    def _no_default_secret_in_production(self) -> Self:
        if self.sequence_environment != LOCAL and self.address_key.get_secret_value() == LOCAL_ADDRESS_KEY:
            raise ValueError(
                f"ADDRESS_KEY must be set in the environment {self.sequence_environment!r}: "
                "the default is for the environment 'local' alone"
            )
        return self

    @property
    def calendar(self) -> PlanningCalendar:
        return PlanningCalendar(ZoneInfo(self.sequence_time_zone), self.plan_at)

    @property
    def address_pads(self) -> bytes:
        """The HMAC-SHA256 key as its two padded blocks, as the SQL function `address_hmac` takes it."""
        key = self.address_key.get_secret_value().encode()
        block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")  # noqa: PLR2004
        return bytes(b ^ 0x36 for b in block) + bytes(b ^ 0x5C for b in block)


class LinkSettings(Settings):
    """What is known to those who write links into mails and to those who answer them."""

    public_url: str = Field(
        "http://127.0.0.1:8000",
        pattern=r"^https?://[^/?#\s<>\"]+(/[^?#\s<>\"]*)?$",
        description="Where recipients reach /t/ and /u/ of the Sequence API; a mailbox's trackingHost comes first",
    )
    link_keys: SecretStr = Field(
        SecretStr(LOCAL_LINK_KEY),
        description="Secret keys of the links in mails, separated by commas: the first signs, all are accepted",
    )

    @model_validator(mode="after")
    def _links_can_be_trusted(self) -> Self:
        keys = self.link_keys.get_secret_value().split(",")
        if not all(key.strip() for key in keys):
            raise ValueError("LINK_KEYS must not hold an empty key")
        if self.sequence_environment != LOCAL:
            if LOCAL_LINK_KEY in keys:
                raise ValueError(
                    f"LINK_KEYS must be set in the environment {self.sequence_environment!r}: "
                    "the default is for the environment 'local' alone"
                )
            if not self.public_url.startswith("https://"):
                raise ValueError(
                    "PUBLIC_URL must be https: mail programs unsubscribe by https alone (RFC 8058)"
                )
        return self

    @property
    def link_signer(self) -> LinkSigner:
        return LinkSigner([key.strip().encode() for key in self.link_keys.get_secret_value().split(",")])

    def public_url_of(self, tracking_host: str | None) -> str:
        """Return where a mailbox's links lead, so that one customer's links do not spoil another's."""
        return f"https://{tracking_host}" if tracking_host else self.public_url.rstrip("/")


class SecretSettings(Settings):
    """What a process reads that seals or opens secrets of mailboxes."""

    secret_keys: SecretStr = Field(
        SecretStr(LOCAL_SECRET_KEY), description="Keys of the mailboxes' secrets, newest first, with commas"
    )

    @field_validator("secret_keys")
    @classmethod
    def _fernet_keys(cls, value: SecretStr) -> SecretStr:
        keys = _listed(value)
        if not keys or not all(_is_fernet_key(key) for key in keys):
            raise ValueError(
                "give keys of 32 bytes in URL-safe base64 (`openssl rand -base64 32 | tr +/ -_`)"
            )
        return value

    @model_validator(mode="after")
    def _no_default_key_in_production(self) -> Self:
        if self.sequence_environment != LOCAL and LOCAL_SECRET_KEY in _listed(self.secret_keys):
            raise ValueError(
                f"SECRET_KEYS must be set in the environment {self.sequence_environment!r}: "
                "the default is for the environment 'local' alone"
            )
        return self

    @property
    def keys_of_secrets(self) -> list[str]:
        return _listed(self.secret_keys)


def _listed(keys: SecretStr) -> list[str]:
    return [key.strip() for key in keys.get_secret_value().split(",") if key.strip()]


def _is_fernet_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, altchars=b"-_", validate=True)) == 32  # noqa: PLR2004
    except ValueError:
        return False


class OwnerSettings(Settings):
    """Migrations, sample data and operators' commands."""

    database_url: SecretStr = Field(description="The owner's database, a postgresql:// URL")
    api_database_url: SecretStr | None = Field(None, description="As role sequence_api")
    pipeline_database_url: SecretStr | None = Field(None, description="As role sequence_pipeline")
    worker_database_url: SecretStr | None = Field(None, description="As role sequence_worker")
    readonly_database_url: SecretStr | None = Field(None, description="As role sequence_readonly")


class ObserverSettings(Settings):
    """`sequences status` and `sequences metrics`, which read and change nothing."""

    readonly_database_url: SecretStr = Field(description="As role sequence_readonly")
    api_url: str = Field("http://127.0.0.1:8000", description="Where the Sequence API is reached")
    dagster_url: str | None = Field(None, description="Where Dagster's webserver is reached")
    metrics_host: str = Field("127.0.0.1", description="Address that `sequences metrics` binds")
    metrics_port: int = Field(9108, ge=0, le=65_535, description="Port that `sequences metrics` binds")


class PipelineSettings(Settings):
    """The Dagster code location."""

    pipeline_database_url: SecretStr = Field(description="As role sequence_pipeline")
    plan_lead_seconds: int = Field(60, ge=0, description="A plan places nothing nearer than this")
    send_grace_seconds: Seconds = Field(7200, description="A send later than this after its minute expires")
    dispatch_ahead_seconds: int = Field(
        900, ge=1, le=900, description="How far ahead rows become messages; SQS delays by 900 s at most"
    )
    transmitting_bound_seconds: Seconds = Field(
        900, description="A transmission without an answer for this long is unknown"
    )
    vanished_after_seconds: Seconds = Field(
        300, description="A dispatched send unclaimed for this long after its minute is dispatched again"
    )
    unknown_settles: Seconds = Field(86_400, description="An unknown send advances its contact after this")
    archive_after_days: int = Field(
        400, ge=31, description="Sends older than this may leave the ledger for the archive"
    )
    asset_store: str = Field(".local/assets", description="Folder (or s3://…) of the assets' Parquet files")
    valkey_url: str | None = Field(None, description="Counters that refuse a send before a connection")
    api_url: str = Field("http://127.0.0.1:8000", description="Where the Sequence API is reached")
    runbook_url: str = Field(
        "docs/runbook.md", description="Where the Dagster UI sends people with a question"
    )
    dagster_url: str | None = Field(
        None, description="Where people reach the Dagster UI: for links in alerts"
    )
    alert_slack_url: SecretStr | None = Field(None, description="Slack's incoming webhook for failed runs")
    alert_webhook_url: SecretStr | None = Field(None, description="URL that gets failed runs as JSON")
    alert_smtp_url: SecretStr | None = Field(None, description="smtp[s]://user:password@host:port of alerts")
    alert_mail_to: str | None = Field(None, description="Who is mailed of failed runs")
    alert_mail_from: str = Field("sequences@localhost", description="From whom")


class ApiSettings(LinkSettings, SecretSettings):
    """The Sequence API."""

    api_database_url: SecretStr = Field(description="As role sequence_api")
    api_host: str = Field("127.0.0.1", description="Address that the API binds")
    api_port: int = Field(8000, ge=0, le=65_535, description="Port that the API binds")
    api_database_connections: int = Field(10, ge=1, description="Connections of the API's pool")
    api_auth: Literal["on", "off"] | None = Field(
        None, description="Whether requests need a key; unset: off in the environment 'local', on elsewhere"
    )
    api_rate_limit_per_minute: int = Field(
        3000, ge=0, description="Requests a minute of one key; 0 for no bound"
    )
    valkey_url: str | None = Field(None, description="Where processes count the requests of keys together")

    @model_validator(mode="after")
    def _keys_in_production(self) -> Self:
        if self.api_auth == "off" and self.sequence_environment != LOCAL:
            raise ValueError(
                f"API_AUTH must not be off in the environment {self.sequence_environment!r}: everybody could "
                "read and write everything. Leave it unset, and make keys with `sequences keys create`"
            )
        return self

    @property
    def keys_needed(self) -> bool:
        return self.api_auth == "on" or (self.api_auth is None and self.sequence_environment != LOCAL)


class SmtpSettings(SecretSettings):
    """What a process reads that signs in to mail servers."""

    smtp_host: str = Field("127.0.0.1", description="SMTP server of mailboxes that name none")
    smtp_port: int = Field(1025, ge=1, le=65_535, description="Its port")
    smtp_security: Literal["none", "starttls", "tls"] = Field("none", description="Its transport security")
    smtp_timeout_seconds: Seconds = Field(30, description="Bound of each SMTP command but the final dot")
    smtp_final_dot_seconds: Seconds = Field(600, description="Bound of the wait for the final answer")
    ses_configuration_set: str | None = Field(
        None, description="Configuration set of mails through SES: it says where reports go"
    )
    dkim_keys: str | None = Field(None, description="Folder of DKIM keys, <selector>._domainkey.<domain>.pem")


class OperatorSettings(OwnerSettings, SmtpSettings):
    """Operators' commands that look after mailboxes."""


class WorkerSettings(LinkSettings, SmtpSettings):
    """The step mailing worker."""

    worker_database_url: SecretStr = Field(description="As role sequence_worker")
    claim_lease_seconds: Seconds = Field(120, description="A claim not renewed for this long may be taken")
    worker_concurrency: int = Field(16, ge=1, le=10_000, description="Sends that one worker handles at once")
    inbox_poll_seconds: Seconds = Field(60, description="Pause between two looks into the mailboxes' mail")
    inbox_lookback_days: int = Field(
        14, ge=1, description="How far back a mailbox is read that never was before"
    )
    soft_failure_retry_seconds: Seconds = Field(300, description="First backoff after a soft failure")
    park_seconds: Seconds = Field(86_400, description="How long a mailbox fault parks its mailbox")
    valkey_url: str | None = Field(None, description="Counters that refuse a send before a connection")
    worker_metrics_host: str = Field("127.0.0.1", description="Address of the worker's metrics")
    worker_metrics_port: int | None = Field(
        None, ge=1, le=65_535, description="Port of the worker's metrics; unset: none are served"
    )


AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(kind: type[AnySettings]) -> AnySettings:
    """Read `kind` from the environment; raise SettingsError that names every variable at fault."""
    try:
        return kind()
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']).upper() or 'settings'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise SettingsError(
            f"{faults}. Set it in the environment (docs/settings.md), or run `sequences stack up` "
            "for a local stack that sets everything."
        ) from None
