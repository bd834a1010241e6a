"""The errors of the API; each carries its HTTP status, and its message is what the client reads.

ApiError
├── InvalidInputError       400  names the field and what is wrong with it
├── UnauthorizedError       401  no key, or none that is valid
├── ForbiddenError          403  the key lacks the scope
├── NotFoundError           404  an id that nothing live has
├── ConflictError           409  what is there already forbids it
├── PreconditionFailedError 412  it is no longer as the client saw it
├── TooLargeError           413  a body above the limit
├── TooManyRequestsError    429  the key asks too often
└── UnavailableError        503  the database is away, busy or too slow; the same request may succeed later
"""

from __future__ import annotations

from typing import ClassVar

from starlette.exceptions import HTTPException


class ApiError(HTTPException):
    """An answer other than success. Being FastAPI's own kind, it passes also where a body is read."""

    status: ClassVar[int]

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(self.status, message, headers)


class InvalidInputError(ApiError):
    status = 400


class UnauthorizedError(ApiError):
    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class ForbiddenError(ApiError):
    status = 403


class NotFoundError(ApiError):
    status = 404


class ConflictError(ApiError):
    status = 409


class PreconditionFailedError(ApiError):
    status = 412


class TooLargeError(ApiError):
    status = 413


class TooManyRequestsError(ApiError):
    status = 429


class UnavailableError(ApiError):
    status = 503
