"""Delays between the retries of a call whose server is unavailable."""

from __future__ import annotations

from collections.abc import Iterator

LONGEST_SECONDS = 30.0


def backoff(first: float) -> Iterator[float]:
    """Yield the seconds before each retry, without end: `first`, then doubled up to LONGEST_SECONDS."""
    delay = first
    while True:
        yield delay
        delay = min(LONGEST_SECONDS, delay * 2)
