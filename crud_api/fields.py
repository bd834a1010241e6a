"""Defines the types of API fields (lines of text, addresses, time zones, times) and their validation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
)
from typing_extensions import TypeAliasType

from sequence_store.domain.addresses import HOST_NAME, address_or_text, entered_address
from sequence_store.errors import TemplateError
from sequence_store.mail.templates import check

LARGEST_INT = 2**31 - 1
EARLIEST, LATEST = date(2000, 1, 1), date(2099, 12, 31)

_NUL = "\x00"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ENCODED_WORD = re.compile(r"=\?[^?\s]*\?[bq]\?[^?]*\?=", re.IGNORECASE)
_SES_REGION = re.compile(r"ses:[a-z]{2}(-[a-z]+)+-[0-9]")
_LOCAL_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")

# The same rules as JSON Schema patterns, for the OpenAPI document.
_LINE_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]+$"
LINE_OR_NOTHING_PATTERN = _LINE_PATTERN.replace("+$", "*$")
NO_NUL_PATTERN = r"^[^\u0000]*$"


def without_nul(value: str) -> str:
    """Return the value; raise ValueError if it contains NUL, which Postgres cannot store."""
    if _NUL in value:
        raise ValueError("must not contain the character NUL")
    return value


def one_line(value: str) -> str:
    """Reject text that could inject a header into a mail."""
    if _CONTROL.search(value):
        raise ValueError("must be one line without control characters")
    if _ENCODED_WORD.search(value):
        raise ValueError("must be plain text, not an encoded word (=?…?=)")
    return value


def _host_name(value: str) -> str:
    if not HOST_NAME.fullmatch(value):
        raise ValueError("must be a host name; write an internationalised name as xn--…")
    return value


def _smtp_host(value: str) -> str:
    if not (HOST_NAME.fullmatch(value) or _SES_REGION.fullmatch(value)):
        raise ValueError("must be a host name, or `ses:` and a region, such as ses:eu-west-1")
    return value


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})


@cache
def _holiday_calendars() -> frozenset[str]:
    import holidays  # takes half a second, so it is imported on first use

    return frozenset(holidays.list_supported_countries())


def _documented_zones() -> Iterable[str]:
    """Return the zones without Etc/GMT+1 and the like.

    Client generators create the same identifier for Etc/GMT+1 and Etc/GMT-1.
    """
    return (zone for zone in _zones() if not re.search(r"GMT[+-]", zone))


def _zone(value: str) -> str:
    if value not in _zones():
        raise ValueError("must be an IANA time zone, such as Europe/Paris")
    return value


def _holiday_calendar(value: str) -> str:
    if value not in _holiday_calendars():
        raise ValueError("must be a country code with a known holiday calendar, such as DE")
    return value


def _local_time(value: Any) -> time:
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not _LOCAL_TIME.fullmatch(value):
        raise ValueError("must be a time of day, HH:MM or HH:MM:SS")
    return time.fromisoformat(value)


def _whole(value: Any) -> Any:
    """Convert 5.0 to 5: JSON Schema accepts both as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _send_days(days: list[int]) -> list[int]:
    if len(set(days)) < len(days):
        raise ValueError("must not contain a day twice")
    return sorted(days)


def _template(value: str) -> str:
    """Reject a template that cannot be rendered for any contact."""
    try:
        check(value)
    except TemplateError as error:
        raise ValueError(str(error)) from None
    return value


def _plausible_day(value: date) -> date:
    if not EARLIEST <= value <= LATEST:
        raise ValueError(f"must be between {EARLIEST} and {LATEST}")
    return value


def _plausible_instant(value: datetime) -> datetime:
    if not EARLIEST <= value.replace(tzinfo=UTC).date() <= LATEST:
        raise ValueError(f"must be between {EARLIEST} and {LATEST}")
    return value


def _one_of(names: Callable[[], Iterable[str]], *, example: str) -> Any:
    """Document a value as an enum. `names` is called only when the OpenAPI document is generated."""

    def document(schema: dict[str, Any]) -> None:
        schema.update(enum=sorted(names()), examples=[example])

    return Field(json_schema_extra=document)


_THIS_CENTURY = {"pattern": "^20"}
_TIME_SCHEMA = {"type": "string", "pattern": f"^{_LOCAL_TIME.pattern}$", "examples": ["09:00", "17:30:00"]}

Whole = BeforeValidator(_whole)
Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    AfterValidator(one_line),
    Field(json_schema_extra={"pattern": _LINE_PATTERN}),
]
Prose = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500_000),
    AfterValidator(without_nul),
    Field(json_schema_extra={"pattern": NO_NUL_PATTERN}),
]
Address = Annotated[
    str,
    StringConstraints(min_length=3, max_length=254),
    AfterValidator(entered_address),
    Field(json_schema_extra={"format": "email"}),
]
SearchAddress = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(without_nul),
    AfterValidator(address_or_text),
    Field(json_schema_extra={"pattern": NO_NUL_PATTERN}),
]
SubjectLine = Annotated[str, AfterValidator(one_line)]  # a rendered subject: of any length
TemplateLine = Annotated[Line, AfterValidator(_template)]
TemplateProse = Annotated[Prose, AfterValidator(_template)]
SearchText = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(without_nul),
    Field(json_schema_extra={"pattern": NO_NUL_PATTERN}),
]
HostName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    AfterValidator(_host_name),
    Field(json_schema_extra={"pattern": f"^{HOST_NAME.pattern}$"}),
]
SmtpHost = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    AfterValidator(_smtp_host),
    Field(json_schema_extra={"pattern": f"^({HOST_NAME.pattern}|{_SES_REGION.pattern})$"}),
]
Secret = Annotated[
    SecretStr,
    Field(min_length=1, max_length=4096, json_schema_extra={"pattern": NO_NUL_PATTERN}),
    AfterValidator(lambda secret: SecretStr(without_nul(secret.get_secret_value()))),
]
TimeZone = TypeAliasType(
    "TimeZone", Annotated[str, AfterValidator(_zone), _one_of(_documented_zones, example="Europe/Paris")]
)
HolidayCalendar = TypeAliasType(
    "HolidayCalendar",
    Annotated[str, AfterValidator(_holiday_calendar), _one_of(_holiday_calendars, example="DE")],
)
LocalTime = Annotated[
    time,
    BeforeValidator(_local_time),
    PlainSerializer(time.isoformat, return_type=str),
    WithJsonSchema(_TIME_SCHEMA),
]
SendDays = Annotated[
    list[Annotated[int, Field(ge=1, le=7), Whole]],
    Field(min_length=1, max_length=7, examples=[[1, 2, 3, 4, 5]], json_schema_extra={"uniqueItems": True}),
    AfterValidator(_send_days),
]
Count = Annotated[int, Field(ge=0, le=LARGEST_INT), Whole]
Number = Annotated[int, Field(ge=1, le=LARGEST_INT), Whole]
AnyInt = Annotated[int, Field(ge=-LARGEST_INT, le=LARGEST_INT), Whole]
Day = Annotated[date, Field(strict=False, json_schema_extra=_THIS_CENTURY), AfterValidator(_plausible_day)]
Instant = Annotated[
    AwareDatetime, Field(strict=False, json_schema_extra=_THIS_CENTURY), AfterValidator(_plausible_instant)
]
Id = Annotated[UUID, Field(strict=False)]
