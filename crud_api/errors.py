"""The errors of the API; each carries its HTTP status, and its message is what the client reads.

ApiError
├── InvalidInputError  400  names the field and what is wrong with it
├── NotFoundError      404  an id that nothing live has
├── ConflictError      409  what is there already forbids it
├── TooLargeError      413  a body above the limit
└── UnavailableError   503  the database is away, busy or too slow; the same request may succeed later

KeysMissingError is none of them: the process refuses to start.
"""

from __future__ import annotations

from typing import ClassVar

from starlette.exceptions import HTTPException

from sequence_store.errors import StoreError


class ApiError(HTTPException):
    """An answer other than success. Being FastAPI's own kind, it passes also where a body is read."""

    status: ClassVar[int]

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(self.status, message, headers)


class InvalidInputError(ApiError):
    status = 400


class NotFoundError(ApiError):
    status = 404


class ConflictError(ApiError):
    status = 409


class TooLargeError(ApiError):
    status = 413


class UnavailableError(ApiError):
    status = 503


class KeysMissingError(StoreError):
    pass
