"""Clock of the planning assets, which can be set to replay a run."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field, field_validator


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Returns the current time, or a fixed instant to replay a run.

    Dispatch, expiry and claim use the database's clock.
    """

    now: str | None = Field(
        default=None,
        description="ISO 8601 instant with a UTC offset, such as 2026-06-15T04:00:30Z; empty: the current "
        "time",
    )

    @field_validator("now")
    @classmethod
    def _aware_instant(cls, value: str | None) -> str | None:
        if value and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("the instant has no UTC offset; write it as 2026-06-15T04:00:30Z")
        return value

    def read(self) -> datetime:
        """Return the aware instant, in UTC."""
        return datetime.fromisoformat(self.now).astimezone(UTC) if self.now else datetime.now(UTC)
