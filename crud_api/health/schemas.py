"""Defines the responses to health checks."""

from __future__ import annotations

from typing import Literal

from crud_api.base_schema import ResponseBody

PartState = Literal["up", "down"]


class Health(ResponseBody):
    """The process is running."""

    status: Literal["ok"] = "ok"


class Readiness(ResponseBody):
    """Whether the API can serve requests, with the state of each component."""

    message: str
    parts: dict[str, PartState]
