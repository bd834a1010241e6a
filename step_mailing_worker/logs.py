"""Writes one log line per event to stderr as `key=value`: no addresses, mail content or server replies."""

from __future__ import annotations

import logging
import sys
import time

_logger = logging.getLogger("step_mailing_worker")


def configure() -> None:
    """Log to stderr in UTC; log libraries from level WARNING."""
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ level=%(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _logger.setLevel(logging.INFO)


def event(name: str, **values: object) -> None:
    _log(logging.INFO, name, values)


def warn(name: str, **values: object) -> None:
    _log(logging.WARNING, name, values)


def fail(name: str, **values: object) -> None:
    """Log an unexpected error with its location, but without its message, which may contain personal data."""
    _log(logging.ERROR, name, values)


def _log(level: int, name: str, values: dict[str, object]) -> None:
    pairs = " ".join(f"{key}={_word(value)}" for key, value in values.items() if value is not None)
    _logger.log(level, "event=%s %s", name, pairs)


def _word(value: object) -> str:
    text = str(value)
    return repr(text) if any(c.isspace() or c == '"' for c in text) or not text.isprintable() else text
