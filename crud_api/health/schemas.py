"""What a probe is told."""

from __future__ import annotations

from typing import Literal

from crud_api.base_schema import Answer

PartState = Literal["up", "down"]


class Health(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Answer):
    """Whether requests can be served, and which part is in the way."""

    message: str
    parts: dict[str, PartState]
