"""Settings: environment variables that each process reads once, when it starts.

A setting has a default that suits the local stack, or is required; an error names it. `docs/settings.md` and
`.env.example` list all settings, and a test compares them with this module.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sequence_store.deployment import advice
from sequence_store.domain.planning_day import PlanningCalendar
from sequence_store.errors import SettingsError
from sequence_store.mail.link_tokens import LinkSigner

LOCAL = "local"
DATABASE_URL = "postgresql://role:password@host:5432/database"
LOCAL_LINK_KEY = "local-link-key-not-for-production"
LOCAL_ADDRESS_KEY = "local-address-key-not-for-production"
LOCAL_SECRET_KEY = "bG9jYWwta2V5LW9mLXNlY3JldHMtbm90LWZvci1wcm8="  # noqa: S105
LOCAL_PASSWORD = "local"  # noqa: S105  (of every role in docker-compose.yaml)
LOCAL_SMTP_HOST = "127.0.0.1"
LOCAL_SMTP_PORT = 1025
SINK_PORTS = frozenset({LOCAL_SMTP_PORT, 8025})  # SMTP and the web page of the mail sink
SINK_NAMES = frozenset(
    {"mail-sink", "mailhog", "mailpit", "mailcatcher", "maildev", "smtp4dev", "greenmail", "inbucket"}
)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone") from error
    return name


def _url_of(*schemes: str) -> AfterValidator:
    """Accept a URL with one of the schemes and a host, and an empty value, which means unset."""

    def check(url: str) -> str:
        if url and not re.match(rf"({'|'.join(schemes)})://[^/\s?#]", url):
            raise ValueError(f"{url!r} is not a URL like {schemes[0]}://host:port")
        return url

    return AfterValidator(check)


Zone = Annotated[str, AfterValidator(_known_zone)]
HttpUrl = Annotated[str, _url_of("http", "https")]
ValkeyUrl = Annotated[str, _url_of("valkey", "valkeys", "redis", "rediss")]
_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,76}")  # SQS allows 80; the dead-letter queue appends `-dlq`
_URLS_OF_DAGSTER = ("DAGSTER_DATABASE_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
Seconds = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """Settings that every process reads."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True)

    sequence_environment: str = Field(
        LOCAL,
        pattern=r"^[A-Za-z0-9_-]{1,40}$",
        description="Name of the deployment, part of the queues' names; no other environment's queue is used",
    )
    sequence_time_zone: Zone = Field("UTC", description="Time zone of the planning day")
    plan_at: time = Field(time(4), description="Wall-clock time at which a planning day starts")
    address_key: SecretStr = Field(
        SecretStr(LOCAL_ADDRESS_KEY),
        description="Secret key of the HMAC under which suppressed addresses are stored",
    )

    aws_region: str = Field("us-east-1", description="Region of the queues")
    aws_endpoint_url_sqs: HttpUrl | None = Field(None, description="SQS endpoint; unset: Amazon's")
    sends_queue: str = Field("sequence-{environment}-sends", description="Queue of timed send messages")
    delivery_results_queue: str = Field(
        "sequence-{environment}-delivery-results", description="Queue of delivery results"
    )

    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="OTLP/HTTP collector for the traces of sends; unset: tracing is off"
    )
    otel_traces_sampler_arg: float = Field(
        0.01, ge=0, le=1, description="Share of the sends that is traced, 0 to 1"
    )

    @field_validator("plan_at")
    @classmethod
    def _whole_minutes(cls, value: time) -> time:
        if value.second or value.microsecond or value.tzinfo:
            raise ValueError("must be a wall-clock time in whole minutes, HH:MM")
        return value

    @model_validator(mode="after")
    def _queues_of_this_environment(self) -> Self:
        for name in ("sends_queue", "delivery_results_queue"):
            queue = getattr(self, name).replace("{environment}", self.sequence_environment)
            if not _QUEUE_NAME.fullmatch(queue):
                raise ValueError(
                    f"{name.upper()} must be 1 to 76 letters, digits, hyphens or underscores; "
                    "{environment} stands for SEQUENCE_ENVIRONMENT"
                )
            setattr(self, name, queue)
        return self

    @model_validator(mode="after")
    def _planning_days_start_once(self) -> Self:
        since = datetime.now(ZoneInfo(self.sequence_time_zone)).date()
        if change := self.calendar.clock_change(since):
            happens = "exists twice" if change.repeated else "does not exist"
            raise ValueError(
                f"PLAN_AT {self.plan_at:%H:%M} {happens} on {change.day} in {self.sequence_time_zone}, "
                "because the clocks change. Choose a time that exists once on every day, such as "
                f"{self.calendar.next_stable_hour(since):%H:%M}"
            )
        return self

    @model_validator(mode="after")
    def _no_default_secret_in_production(self) -> Self:
        if self.sequence_environment != LOCAL and self.address_key.get_secret_value() == LOCAL_ADDRESS_KEY:
            raise ValueError(
                f"ADDRESS_KEY must be set in the environment {self.sequence_environment!r}: "
                "the default is only for the environment 'local'"
            )
        return self

    @property
    def calendar(self) -> PlanningCalendar:
        return PlanningCalendar(ZoneInfo(self.sequence_time_zone), self.plan_at)

    @property
    def address_pads(self) -> bytes:
        """Return the HMAC-SHA256 key as its two padded blocks, as the SQL function `address_hmac` expects."""
        key = self.address_key.get_secret_value().encode()
        block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")  # noqa: PLR2004
        return bytes(b ^ 0x36 for b in block) + bytes(b ^ 0x5C for b in block)


class MessageIdSettings(Settings):
    """The keys of Message-IDs and links: the worker signs with them; the others recognise what it signed."""

    link_keys: SecretStr = Field(
        SecretStr(LOCAL_LINK_KEY),
        description="Secret keys of the links and the Message-IDs of mails, separated by commas: the first "
        "signs, all verify",
    )

    @model_validator(mode="after")
    def _keys_can_be_trusted(self) -> Self:
        keys = self.link_keys.get_secret_value().split(",")
        if not all(key.strip() for key in keys):
            raise ValueError("LINK_KEYS must not contain an empty key")
        if self.sequence_environment != LOCAL and LOCAL_LINK_KEY in keys:
            raise ValueError(
                f"LINK_KEYS must be set in the environment {self.sequence_environment!r}: "
                "the default is only for the environment 'local'"
            )
        return self

    @property
    def message_id_keys(self) -> list[bytes]:
        """Return the keys of Message-IDs: the first signs, all may have signed the mails of a thread."""
        return [key.strip().encode() for key in self.link_keys.get_secret_value().split(",")]

    @property
    def known_message_id_keys(self) -> list[bytes]:
        """Return the keys that verify Message-IDs. ADDRESS_KEY signed those of the previous release."""
        return [*self.message_id_keys, self.address_key.get_secret_value().encode()]


class LinkSettings(MessageIdSettings):
    """Settings of the links in mails: the worker writes the links, the API serves them."""

    public_url: str = Field(
        "http://127.0.0.1:8000",
        pattern=r"^https?://[^/?#\s<>\"]+(/[^?#\s<>\"]*)?$",
        description="Public URL of the Sequence API's /t/ and /u/; a mailbox's trackingHost replaces it",
    )

    @model_validator(mode="after")
    def _links_can_be_trusted(self) -> Self:
        if self.sequence_environment != LOCAL and not self.public_url.startswith("https://"):
            raise ValueError("PUBLIC_URL must be https: mail programs unsubscribe only over https (RFC 8058)")
        return self

    @property
    def link_signer(self) -> LinkSigner:
        return LinkSigner(self.message_id_keys)

    def public_url_of(self, tracking_host: str | None) -> str:
        """Return the base URL of a mailbox's links; its own tracking host keeps its reputation separate."""
        return f"https://{tracking_host}" if tracking_host else self.public_url.rstrip("/")


class SecretSettings(Settings):
    """Settings of the processes that encrypt or decrypt the secrets of mailboxes."""

    secret_keys: SecretStr = Field(
        SecretStr(LOCAL_SECRET_KEY),
        description="Keys that encrypt the mailboxes' secrets, newest first, separated by commas",
    )

    @field_validator("secret_keys")
    @classmethod
    def _fernet_keys(cls, value: SecretStr) -> SecretStr:
        keys = _listed(value)
        if not keys or not all(_is_fernet_key(key) for key in keys):
            raise ValueError(
                "each key must be 32 bytes in URL-safe base64: `openssl rand -base64 32 | tr +/ -_`"
            )
        return value

    @model_validator(mode="after")
    def _no_default_key_in_production(self) -> Self:
        if self.sequence_environment != LOCAL and LOCAL_SECRET_KEY in _listed(self.secret_keys):
            raise ValueError(
                f"SECRET_KEYS must be set in the environment {self.sequence_environment!r}: "
                "the default is only for the environment 'local'"
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


class ParkingSettings(Settings):
    """Parking time, shared by the worker and the pipelines, which both park mailboxes."""

    park_seconds: Seconds = Field(
        86_400,
        description="Seconds for which a mailbox is parked after a mailbox fault, too many bounces or "
        "complaints, or three unknown outcomes in a row",
    )


class ReplySettings(Settings):
    """Whom replies stop, shared by the API and the worker, which both record them."""

    company_most_contacts: int = Field(
        50,
        ge=1,
        description="Most contacts with an address of one domain that a reply stops as a company; with more, "
        "only the contact that replied is stopped",
    )


class OwnerSettings(Settings):
    """Settings of the migrations, the sample data and the operators' commands."""

    database_url: SecretStr = Field(description="Database URL (postgresql://) of the owner")
    api_database_url: SecretStr | None = Field(None, description="Database URL of role sequence_api")
    pipeline_database_url: SecretStr | None = Field(
        None, description="Database URL of role sequence_pipeline"
    )
    worker_database_url: SecretStr | None = Field(None, description="Database URL of role sequence_worker")
    readonly_database_url: SecretStr | None = Field(
        None, description="Database URL of role sequence_readonly"
    )


class ObserverSettings(Settings):
    """Settings of `sequences status` and `sequences metrics`, which only read."""

    readonly_database_url: SecretStr = Field(description="Database URL of role sequence_readonly")
    api_url: HttpUrl = Field("http://127.0.0.1:8000", description="URL of the Sequence API")
    dagster_url: HttpUrl | None = Field(None, description="URL of Dagster's webserver")
    metrics_host: str = Field("127.0.0.1", description="Address that `sequences metrics` binds")
    metrics_port: int = Field(9108, ge=0, le=65_535, description="Port that `sequences metrics` binds")


@dataclass(frozen=True)
class SourceTree:
    """The source of this version on GitHub or GitLab: URL of the repository, and a branch, tag or commit."""

    repository: str
    revision: str
    platform: Literal["github", "gitlab"]

    @classmethod
    def of(cls, url: str) -> SourceTree:
        """Return the source tree that the page `url` shows; raise ValueError if it is no such page."""
        found = re.fullmatch(r"(https?://[^?#\s]+?)(/-)?/tree/([^?#\s]+?)/?", url)
        if found is None:
            raise ValueError(
                "must be the page of the source tree: https://HOST/OWNER/NAME/tree/REVISION on GitHub, "
                "https://HOST/GROUP/NAME/-/tree/REVISION on GitLab"
            )
        return cls(found[1], found[3], "gitlab" if found[2] else "github")


class PartitionSettings(Settings):
    """Settings that Dagster reads when it loads the code: the planning days as partitions, and the source."""

    first_planning_day: date = Field(
        date(2026, 1, 1),
        description="First planning day: the day of the installation, which never changes",
    )
    source_url: str | None = Field(
        None, description="Page of this version's source tree on GitHub or GitLab, which assets link to"
    )

    @field_validator("source_url")
    @classmethod
    def _names_a_source_tree(cls, value: str | None) -> str | None:
        if value:
            SourceTree.of(value)
        return value or None

    @property
    def source_tree(self) -> SourceTree | None:
        """Return the source tree on the web, or None if SOURCE_URL is not set."""
        return SourceTree.of(self.source_url) if self.source_url else None

    @model_validator(mode="after")
    def _first_day_is_not_in_the_future(self) -> Self:
        current = self.calendar.day_of(datetime.now(UTC))
        if self.first_planning_day > current + timedelta(days=1):
            raise ValueError(
                f"FIRST_PLANNING_DAY {self.first_planning_day} is in the future: the current planning day is "
                f"{current}. Set it to the date of the installation"
            )
        return self

    @property
    def first_partition(self) -> date:
        """Return the first planning day, or the current one if the first one starts later today."""
        return min(self.first_planning_day, self.calendar.day_of(datetime.now(UTC)))


class RunLogSettings(Settings):
    """Settings of Dagster's own programs: where the logs of runs are kept."""

    compute_logs_bucket: str | None = Field(
        None, description="S3 bucket for the logs of runs; unset: Dagster's home folder"
    )

    @field_validator("compute_logs_bucket")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None


class SecretNameSettings(Settings):
    """Names the secret that holds settings of the pipeline."""

    pipeline_secret: str | None = Field(
        None,
        description="Name or ARN of the secret in AWS Secrets Manager with the pipeline's secret settings",
    )

    @field_validator("pipeline_secret")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None


class PipelineSettings(
    PartitionSettings, ParkingSettings, RunLogSettings, SecretNameSettings, MessageIdSettings
):
    """Settings of the Dagster code location."""

    pipeline_database_url: SecretStr = Field(description="Database URL of role sequence_pipeline")
    plan_lead_seconds: int = Field(60, ge=0, description="Seconds from now in which a plan places no send")
    send_grace_seconds: Seconds = Field(
        7200, description="Seconds after its planned time at which a send expires"
    )
    dispatch_ahead_seconds: int = Field(
        900,
        ge=1,
        le=900,
        description="Seconds before its time at which a send is dispatched; SQS delays at most 900",
    )
    transmitting_bound_seconds: Seconds = Field(
        900, description="Seconds without an answer after which a transmission's outcome is unknown"
    )
    vanished_after_seconds: Seconds = Field(
        300, description="Seconds after its time at which an unclaimed send is dispatched again"
    )
    unknown_settles: Seconds = Field(86_400, description="Seconds after which an unknown send counts as sent")
    results_every_seconds: Seconds = Field(
        300, description="Seconds between two runs that apply delivery results, unless many wait"
    )
    archive_after_days: int = Field(
        400, ge=31, description="Days after which sends of ended enrolments may be archived"
    )
    events_kept_days: int = Field(
        90, ge=14, description="Days after which events of the feed are removed; what they say of mails stays"
    )
    facts_kept_days: int = Field(
        730, ge=31, description="Days after which the Parquet file of a day's mail facts is removed"
    )
    run_history_days: int = Field(
        30, ge=1, description="Days after which the finished runs of Dagster are removed"
    )
    asset_store: str = Field(".local/assets", description="Folder (or s3://…) of the assets' Parquet files")
    valkey_url: ValkeyUrl | None = Field(
        None, description="Valkey with the quota counters, which spare connections for full mailboxes"
    )
    api_url: HttpUrl = Field("http://127.0.0.1:8000", description="URL of the Sequence API")
    api_browser_url: HttpUrl | None = Field(
        None, description="URL at which a browser reaches the API, for links; unset: API_URL"
    )
    runbook_url: str | None = Field(
        None, description="URL or path of the runbook that the Dagster UI links to; unset: the API's page"
    )
    dagster_url: HttpUrl | None = Field(None, description="URL of the Dagster UI, for links in alerts")
    alert_slack_url: SecretStr | None = Field(
        None, description="Slack incoming webhook for alerts of failed runs"
    )
    alert_webhook_url: SecretStr | None = Field(
        None, description="URL that receives alerts of failed runs as JSON"
    )
    alert_smtp_url: SecretStr | None = Field(
        None, description="SMTP server for alerts, smtp[s]://user:password@host:port"
    )
    alert_mail_to: str | None = Field(None, description="Recipient of alerts by mail")
    alert_mail_from: str = Field("sequences@localhost", description="Sender of alerts by mail")

    @property
    def runbook(self) -> str:
        """Return the URL or path of the runbook; without a setting, the page that the API serves."""
        return self.runbook_url or f"{self.api_link}/docs/pages/runbook.md"

    @property
    def api_link(self) -> str:
        """Return the URL of the API for links, without a slash at its end."""
        return (self.api_browser_url or self.api_url).rstrip("/")


class ApiSettings(LinkSettings, SecretSettings, ReplySettings):
    """Settings of the Sequence API."""

    api_database_url: SecretStr = Field(description="Database URL of role sequence_api")
    api_host: str = Field("127.0.0.1", description="Address that the API binds")
    api_port: int = Field(8000, ge=0, le=65_535, description="Port that the API binds")
    api_database_connections: int = Field(10, ge=1, description="Size of the API's connection pool")
    api_auth: Literal["on", "off"] | None = Field(
        None,
        description="Whether requests need an API key; unset: off in the environment 'local', on elsewhere",
    )
    reply_quiet_days: int = Field(
        90, ge=0, description="Days after a reply in which lists and imports do not enrol the contact again"
    )
    api_rate_limit_per_minute: int = Field(3000, ge=0, description="Requests per minute and key; 0: no limit")
    valkey_url: ValkeyUrl | None = Field(
        None, description="Where processes count the requests of keys together"
    )

    @model_validator(mode="after")
    def _keys_in_production(self) -> Self:
        if self.api_auth == "off" and self.sequence_environment != LOCAL:
            raise ValueError(
                f"API_AUTH must not be off in the environment {self.sequence_environment!r}: anyone could "
                "read and write all data. Leave it unset, and create keys with `sequences keys create`"
            )
        return self

    @property
    def keys_needed(self) -> bool:
        return self.api_auth == "on" or (self.api_auth is None and self.sequence_environment != LOCAL)


def _sink(host: str, port: int) -> str | None:
    """Return what marks a server as a sink, or None. Loopback addresses and the sinks' ports mark one."""
    if host.startswith("ses:"):
        return None
    name = host.strip("[]").rstrip(".").lower()
    first = name.partition(".")[0]
    if name == "localhost" or name.endswith(".localhost") or first in SINK_NAMES or _is_loopback(name):
        return f"SMTP_HOST must not be {host!r}"
    if port in SINK_PORTS:
        return f"SMTP_PORT (of SMTP_HOST {host!r}) must not be {port}, the port of a mail sink,"
    return None


def _is_loopback(name: str) -> bool:
    try:
        address = ip_address(name)
    except ValueError:
        return name.isdecimal() or name.startswith("127.")  # as the resolver reads 2130706433 and 127.1
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or (mapped or address).is_unspecified


class SmtpSettings(SecretSettings):
    """Settings of the processes that sign in to mail servers."""

    smtp_host: str = Field(
        LOCAL_SMTP_HOST, description="SMTP server of mailboxes without a host of their own"
    )
    local_smtp_host: str | None = Field(
        None, description="Host of the local mail sink, in the environment `local` the default of SMTP_HOST"
    )
    smtp_port: int = Field(LOCAL_SMTP_PORT, ge=1, le=65_535, description="Port of SMTP_HOST")
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        "none", description="Transport security of SMTP_HOST"
    )
    smtp_timeout_seconds: Seconds = Field(30, description="Timeout of each SMTP command except the final dot")
    smtp_final_dot_seconds: Seconds = Field(600, description="Timeout of the reply to the final dot")
    ses_configuration_set: str | None = Field(
        None, description="SES configuration set, which publishes bounces and complaints"
    )
    dkim_keys: str | None = Field(None, description="Folder of DKIM keys, <selector>._domainkey.<domain>.pem")

    @model_validator(mode="after")
    def _no_sink_in_production(self) -> Self:
        """In `local`, the default server is the mail sink. Elsewhere a sink is refused; unset: no server."""
        if self.sequence_environment == LOCAL:
            if "smtp_host" not in self.model_fields_set or not self.smtp_host:
                self.smtp_host = self.local_smtp_host or LOCAL_SMTP_HOST
            return self
        if "smtp_host" not in self.model_fields_set or not self.smtp_host:
            self.smtp_host = ""
        elif fault := _sink(self.smtp_host, self.smtp_port):
            raise ValueError(
                f"{fault} in the environment {self.sequence_environment!r}: a mail sink accepts every mail "
                "and delivers none. Set SMTP_HOST and SMTP_PORT to your mail server, or leave SMTP_HOST "
                "unset if every mailbox has an smtpHost"
            )
        return self


class HealthSettings(Settings):
    """Where a program that serves no pages serves its health and its metrics."""

    worker_metrics_host: str = Field("127.0.0.1", description="Address that the metrics and the health bind")
    worker_metrics_port: int | None = Field(
        None, ge=1, le=65_535, description="Port that they bind; unset: none is served"
    )


class WebhookSettings(SecretSettings, HealthSettings):
    """Settings of `sequences webhooks`, which sends the feed to its receivers."""

    pipeline_database_url: SecretStr = Field(description="Database URL of role sequence_pipeline")


class OperatorSettings(OwnerSettings, SmtpSettings):
    """Settings of the commands that check mailboxes and rotate their secrets."""


class WorkerSettings(LinkSettings, SmtpSettings, ParkingSettings, ReplySettings, HealthSettings):
    """Settings of the step mailing worker."""

    worker_database_url: SecretStr = Field(description="Database URL of role sequence_worker")
    claim_lease_seconds: Seconds = Field(
        120, description="Seconds without renewal after which another worker may take a claim"
    )
    worker_concurrency: int = Field(
        16, ge=1, le=10_000, description="Sends that a worker processes concurrently"
    )
    inbox_poll_seconds: Seconds = Field(60, description="Seconds between two reads of the mailboxes' inboxes")
    inbox_lookback_days: int = Field(
        14, ge=1, description="Days of mail that the first read of an inbox covers"
    )
    inbox_folders: str | None = Field(
        None, description="Folders to read besides the inbox and the junk folder, separated by commas"
    )
    reply_match_days: int = Field(
        30, ge=0, description="Days after a mail in which a mail that names none is matched by its sender"
    )
    away_hold_days: int = Field(
        3, ge=0, le=60, description="Days for which an absence notice without a return date holds the contact"
    )
    soft_failure_retry_seconds: Seconds = Field(
        300, description="Seconds to the first retry after a soft failure"
    )
    valkey_url: ValkeyUrl | None = Field(
        None, description="Valkey with the quota counters, which spare connections for full mailboxes"
    )


AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(kind: type[AnySettings], values: Mapping[str, str] | None = None) -> AnySettings:
    """Read `kind` from the environment; raise SettingsError, which names each invalid variable.

    `values` are variables that override those of the environment; those that are no settings are ignored.
    """
    known: dict[str, Any] = {
        name.lower(): value for name, value in (values or {}).items() if name.lower() in kind.model_fields
    }
    try:
        settings = kind(**known)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']).upper() or 'settings'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise _refusal(faults) from None
    faults = [f"{name.upper()}: must be a URL like {DATABASE_URL}" for name in _wrong_database_urls(settings)]
    if faults:
        raise _refusal(faults)
    return settings


def _wrong_database_urls(settings: Settings) -> list[str]:
    return [
        name
        for name, url in settings
        if name.endswith("database_url")
        and isinstance(url, SecretStr)
        and not re.match(r"postgres(ql)?(\+\w+)?://", url.get_secret_value())
    ]


def _refusal(faults: list[str]) -> SettingsError:
    return SettingsError(f"{'; '.join(faults)}. {advice('settings')}")


def refuse_default_passwords(settings: Settings) -> None:
    """Raise SettingsError if a URL has the trial's password outside `local`; it names each such setting.

    The URLs of Dagster's and Celery's servers, which are no settings of ours, count if the process has them.
    """
    if settings.sequence_environment == LOCAL:
        return
    urls = {name.upper(): value for name, value in settings if name.endswith("_url")}
    urls |= {name: os.environ.get(name) for name in _URLS_OF_DAGSTER}
    found = [
        name for name, value in urls.items() if value is not None and _password_of(value) == LOCAL_PASSWORD
    ]
    if found:
        raise SettingsError(
            f"{', '.join(found)} must not contain the password {LOCAL_PASSWORD!r} in the environment "
            f"{settings.sequence_environment!r}: it is the default of a trial. {advice('default_password')}"
        )


def _password_of(value: object) -> str | None:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    try:
        return urlsplit(text).password
    except ValueError:
        return None
