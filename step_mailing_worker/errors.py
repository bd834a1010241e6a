"""The errors of the worker.

WorkerError
├── MessageFault     this mail cannot be built: its template or its data is at fault
├── DeliveryFailed   the server refused before the mail can have gone out; carries the reply
└── OutcomeUnknown   the connection was lost after the final dot
"""

from __future__ import annotations

from step_mailing_worker.replies import Reply


class WorkerError(Exception):
    pass


class MessageFault(WorkerError):  # noqa: N818
    pass


class DeliveryFailed(WorkerError):  # noqa: N818
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class OutcomeUnknown(WorkerError):  # noqa: N818
    pass
