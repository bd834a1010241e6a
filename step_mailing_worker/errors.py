"""The errors of the worker.

WorkerError
├── MailError             the mail cannot be built; `fault`: mailbox, recipient or message; `waits`: not today
├── GateClosedError       the database refused the transfer; nothing was sent
├── NoCredentialError     the secret cannot be opened or gives no token; parks the mailbox
└── SmtpError
    ├── RefusedError      the server replied with 4xx or 5xx
    ├── LostError         no reply: the connection broke or timed out in `phase`
    └── UntrustedError    TLS is missing or not verified, or the host is not allowed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sequence_store.domain.states import AttemptReason, Fault

if TYPE_CHECKING:
    from step_mailing_worker.smtp_replies import Phase, Reply
    from step_mailing_worker.store import Gate


class WorkerError(Exception):
    """Ends the attempt at one mail; the worker goes on."""


class MailError(WorkerError):
    def __init__(self, reason: str, *, fault: Fault = Fault.MESSAGE, waits: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault
        self.waits = waits


class GateClosedError(WorkerError):
    def __init__(self, gate: Gate) -> None:
        super().__init__(gate.verdict)
        self.gate = gate


class NoCredentialError(WorkerError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SmtpError(WorkerError):
    pass


class RefusedError(SmtpError):
    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.phase}: {reply.code}")
        self.reply = reply


class LostError(SmtpError):
    def __init__(self, phase: Phase, *, timed_out: bool = False) -> None:
        self.phase = phase
        cause = AttemptReason.TIMEOUT if timed_out else AttemptReason.CONNECTION_LOST
        self.reason = f"{cause}_{phase}"
        super().__init__(self.reason)


class UntrustedError(SmtpError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
