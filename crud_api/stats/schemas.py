"""Defines the query parameters and response bodies of the statistics."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, model_validator

from crud_api.base_schema import Query, ResponseBody
from sequence_store.domain.rates import RATES, STATS_DAYS, first_of_days, last_mail_day


def _written_day(value: object) -> str:
    """Refuse what else pydantic takes for a date: an instant, or seconds since 1970."""
    if not (isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value)):
        raise ValueError("must be a date, YYYY-MM-DD")
    return value


WrittenDay = Annotated[date, BeforeValidator(_written_day)]
By = Literal["sequence", "step", "mailbox", "day"]


class Stats(ResponseBody):
    """What came of the mails of some days. A reply counts on the day of its mail, however late it comes.

    Each mail counts once for each kind, however often it was opened or replied to. Rates are between 0 and
    1, and null if there is nothing to divide by; the name of each says its denominator.
    """

    sequence_id: UUID | None = None
    sequence_name: str | None = None
    step_id: UUID | None = None
    step_number: int | None = None
    mailbox_id: UUID | None = None
    day: date | None = None
    mails: int = Field(description="Mails that a server accepted, and those of which that is unknown")
    sent: int
    unknown: int
    hard_failed: int = Field(description="Mails that the server refused for good; they are not in `mails`")
    opened: int = Field(description="Mails that a person opened")
    clicked: int = Field(description="Mails in which a person followed a link")
    machine_opened: int = Field(description="Mails whose pixel a program fetched")
    machine_clicked: int = Field(description="Mails in which a program followed a link")
    replied: int
    bounced: int = Field(description="Mails that came back for good, and `hardFailed`")
    complained: int
    unsubscribed: int
    enrolments: int = Field(description="Enrolments whose first mail is among these mails")
    enrolments_replied: int = Field(description="Those of them that replied to any of their mails")
    opened_per_mail: float | None = Field(description=RATES["opened_per_mail"].meaning)
    clicked_per_mail: float | None = Field(description=RATES["clicked_per_mail"].meaning)
    replied_per_mail: float | None = Field(description=RATES["replied_per_mail"].meaning)
    replied_per_enrolment: float | None = Field(description=RATES["replied_per_enrolment"].meaning)
    bounced_per_attempt: float | None = Field(description=RATES["bounced_per_attempt"].meaning)
    complained_per_mail: float | None = Field(description=RATES["complained_per_mail"].meaning)
    unsubscribed_per_mail: float | None = Field(description=RATES["unsubscribed_per_mail"].meaning)


class StatsQuery(Query):
    """Query parameters of the statistics."""

    by: By = Field("sequence", description="What a row is")
    sequence_id: UUID | None = Field(None, alias="sequenceId", description="Only mails of this sequence")
    from_: WrittenDay | None = Field(
        None, alias="from", description=f"First day of the mails; {STATS_DAYS} days up to `to` if absent"
    )
    to: WrittenDay | None = Field(
        None,
        description="Last day of the mails; if absent the day after today, which some of today's mails have",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ and self.to and self.from_ > self.to:
            raise ValueError("from: must not be after to")
        return self

    def days(self, today: date) -> tuple[date, date]:
        """Return the first and the last day."""
        last = self.to or max(last_mail_day(today), self.from_ or today)
        first = self.from_ or first_of_days(last)
        return first, last
