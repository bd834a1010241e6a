"""Defines the request and response bodies of mailboxes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from crud_api.base_schema import UNSENT, PatchBody, RequestBody, ResponseBody, example, example_of_changes
from crud_api.fields import (
    Address,
    Count,
    Day,
    HolidayCalendar,
    HostName,
    Instant,
    Line,
    LocalTime,
    SearchAddress,
    Secret,
    SendDays,
    TimeZone,
    Whole,
)
from crud_api.fields import (
    SmtpHost as SmtpHostName,
)
from crud_api.paging import SORT, Paging

EXAMPLE: dict[str, Any] = {
    "address": "ada@example.com",
    "displayName": "Ada Lovelace",
    "sendLimit": 50,
    "sendStartTime": "09:00",
    "sendEndTime": "17:30",
    "timeZone": "Europe/Paris",
    "sendDays": [1, 2, 3, 4, 5],
}

SendLimit = Annotated[Count, Field(description="Mails per day, across all sequences")]
StartTime = Annotated[LocalTime, Field(description="Local time at which the send window opens")]
EndTime = Annotated[
    LocalTime,
    Field(
        description="Local time at which the send window closes; on the next day if not after the start. The "
        "window must have at least a minute"
    ),
]
MinGapSeconds = Annotated[int, Field(ge=0, le=86_400, description="Minimum time between two mails"), Whole]
MaxFirstMails = Annotated[Count | None, Field(description="First mails per day; null for no limit")]
RampUp = Annotated[Count | None, Field(description="The three rampUp… fields are either all set or all null")]
RampUpStarted = Annotated[
    Day | None,
    Field(
        description="The first day of the ramp-up, with the limit rampUpStart. The limit rises by "
        "rampUpDailyIncrement after each day on which at least half of it was sent; fourteen days without a "
        "mail halve the days counted. Another date starts the ramp-up anew"
    ),
]
ParkedUntil = Annotated[
    Instant | None, Field(description="The mailbox sends no mails until then; null releases it")
]
TrackingHost = Annotated[
    HostName | None, Field(description="Host name in the tracking links of this mailbox")
]
SmtpHost = Annotated[
    SmtpHostName | None,
    Field(description="null: the server in the settings; `ses:eu-west-1`: Amazon SES in that region"),
]
ImapHost = Annotated[
    HostName | None, Field(description="Server from which replies and bounces are read; null to read none")
]
Port = Annotated[int, Field(ge=1, le=65_535), Whole]
SmtpSecret = Annotated[Secret | None, Field(json_schema_extra={"writeOnly": True})]
Security = Literal["none", "starttls", "tls"]


class MailboxCreate(RequestBody):
    """A new mailbox."""

    model_config = example(EXAMPLE)

    address: Address
    display_name: Line | None = None
    send_limit: SendLimit
    send_start_time: StartTime
    send_end_time: EndTime
    time_zone: TimeZone = "UTC"
    send_days: SendDays = Field(default=[1, 2, 3, 4, 5, 6, 7])
    holiday_calendar: HolidayCalendar | None = None
    min_gap_seconds: MinGapSeconds = 0
    max_first_mails: MaxFirstMails = None
    ramp_up_start: RampUp = None
    ramp_up_daily_increment: RampUp = None
    ramp_up_started: RampUpStarted = None
    is_active: bool = True
    parked_until: ParkedUntil = None
    parked_reason: Line | None = None
    tracking_host: TrackingHost = None
    smtp_host: SmtpHost = None
    smtp_port: Port | None = None
    smtp_security: Security | None = None
    smtp_username: Line | None = None
    smtp_secret: SmtpSecret = None
    imap_host: ImapHost = None
    imap_port: Port | None = None
    imap_security: Security | None = None


class MailboxChanges(PatchBody):
    """The fields of a mailbox to change."""

    model_config = example_of_changes({"sendLimit": 40, "minGapSeconds": 90})

    address: Address = UNSENT
    display_name: Line | None = UNSENT
    send_limit: SendLimit = UNSENT
    send_start_time: StartTime = UNSENT
    send_end_time: EndTime = UNSENT
    time_zone: TimeZone = UNSENT
    send_days: SendDays = UNSENT
    holiday_calendar: HolidayCalendar | None = UNSENT
    min_gap_seconds: MinGapSeconds = UNSENT
    max_first_mails: MaxFirstMails = UNSENT
    ramp_up_start: RampUp = UNSENT
    ramp_up_daily_increment: RampUp = UNSENT
    ramp_up_started: RampUpStarted = UNSENT
    is_active: bool = UNSENT
    parked_until: ParkedUntil = UNSENT
    parked_reason: Line | None = UNSENT
    tracking_host: TrackingHost = UNSENT
    smtp_host: SmtpHost = UNSENT
    smtp_port: Port | None = UNSENT
    smtp_security: Security | None = UNSENT
    smtp_username: Line | None = UNSENT
    smtp_secret: SmtpSecret = UNSENT
    imap_host: ImapHost = UNSENT
    imap_port: Port | None = UNSENT
    imap_security: Security | None = UNSENT


class Mailbox(ResponseBody):
    """A sender address. Its SMTP password is never returned."""

    id: UUID
    address: str
    display_name: str | None
    send_limit: int
    send_start_time: LocalTime
    send_end_time: LocalTime
    time_zone: str
    send_days: list[int]
    holiday_calendar: str | None
    min_gap_seconds: int
    max_first_mails: int | None
    ramp_up_start: int | None
    ramp_up_daily_increment: int | None
    ramp_up_started: date | None
    is_active: bool
    parked_until: datetime | None
    parked_reason: str | None
    tracking_host: str | None
    smtp_host: str | None
    smtp_port: int | None
    smtp_security: str | None
    smtp_username: str | None
    imap_host: str | None
    imap_port: int | None
    imap_security: str | None
    created_at: datetime
    last_updated_at: datetime | None


class MailboxQuery(Paging):
    """Query parameters of the list of mailboxes."""

    address: SearchAddress | None = Field(
        None, description="Only the mailbox with this address, in any spelling"
    )
    is_active: bool | None = Field(None, alias="isActive")
    sort: Literal["createdAt", "-createdAt", "address", "-address"] = Field("createdAt", description=SORT)
