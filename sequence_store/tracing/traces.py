"""Interface of the traces of sends, and the implementation that records nothing.

A send's trace id is a hash of its key, so every program computes it and no message carries it. The parts of a
send's trace are hours apart and in several programs: each part is a root span of the one trace. Spans hold
ids, times and outcomes, and no address, secret or error text.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from sequence_store.domain.messages import SendKey


class Traces:
    """Records spans. This class records none and costs nothing: it is used if tracing is off."""

    def span(  # the names are the interface
        self,
        name: str,  # noqa: ARG002
        key: SendKey | None = None,  # noqa: ARG002
        **attributes: object,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Record the block as a child of the current span; with `key`, as a root of that send's trace."""
        return nullcontext()

    def note(self, **attributes: object) -> None:
        """Add attributes to the current span."""

    def of_sends(self, name: str, keys: Iterable[SendKey], began: int) -> None:
        """Record one span in the trace of each send, from `began` (`time.time_ns()`) until now."""

    def stop(self) -> None:
        """Export the remaining spans; takes seconds if the collector does not respond."""


OFF = Traces()
