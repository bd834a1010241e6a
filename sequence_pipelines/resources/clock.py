"""The time that planning knows."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field, field_validator


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Now, or an instant that a run is replayed at. Dispatch, expiry and claim keep the database's clock."""

    now: str | None = Field(
        default=None,
        description="An ISO instant with its offset, such as 2026-06-15T04:00:30Z; empty means now",
    )

    @field_validator("now")
    @classmethod
    def _aware_instant(cls, value: str | None) -> str | None:
        if value and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("give the instant with its offset, such as 2026-06-15T04:00:30Z")
        return value

    def read(self) -> datetime:
        """Return the aware instant, in UTC."""
        return datetime.fromisoformat(self.now).astimezone(UTC) if self.now else datetime.now(UTC)
