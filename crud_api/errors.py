"""Defines the API errors. Each class sets the HTTP status; the message is sent to the client.

ApiError
├── InvalidInputError       400  a value is invalid; the message names the field
├── UnauthorizedError       401  the key is missing or invalid
├── ForbiddenError          403  the key lacks the required scope
├── NotFoundError           404  no live record has the id
├── SlowClientError         408  the client does not send its body in time
├── ConflictError           409  the request conflicts with existing data
├── GoneError               410  the data was removed because of its age
├── PreconditionFailedError 412  the resource changed after the client read it
├── TooLargeError           413  the body exceeds the size limit
├── TooManyRequestsError    429  the key exceeds its rate limit
└── UnavailableError        503  the database is unreachable, busy or too slow; a retry may succeed
"""

from __future__ import annotations

from typing import ClassVar

from starlette.exceptions import HTTPException


class ApiError(HTTPException):
    """Base class of all API errors.

    It is an HTTPException because FastAPI replaces any other error that occurs while it reads a body.
    """

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


class SlowClientError(ApiError):
    status = 408

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Connection": "close"})


class ConflictError(ApiError):
    status = 409


class GoneError(ApiError):
    status = 410


class PreconditionFailedError(ApiError):
    status = 412


class TooLargeError(ApiError):
    status = 413


class TooManyRequestsError(ApiError):
    status = 429


class UnavailableError(ApiError):
    status = 503
