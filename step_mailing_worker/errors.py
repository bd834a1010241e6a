"""The errors of the worker.

WorkerError
├── MailError             the mail cannot be built; `fault` says whose value is at fault
├── GateClosedError       the database did not let the mail go out; nothing was sent
├── NoCredentialError     the secret cannot be opened, or no token is given for it; parks the mailbox
└── SmtpError
    ├── RefusedError      the server answered with 4xx or 5xx
    ├── LostError         no answer: the connection broke or the bound passed, in `phase`
    └── UntrustedError    no verified TLS, or a password that would travel without it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sequence_store.domain.states import Fault

if TYPE_CHECKING:
    from step_mailing_worker.smtp_replies import Phase, Reply
    from step_mailing_worker.store import Gate


class WorkerError(Exception):
    """Something that ends the attempt at one mail, and no more than that."""


class MailError(WorkerError):
    def __init__(self, reason: str, *, fault: Fault = Fault.MESSAGE) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault


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
        self.reason = f"{'timeout' if timed_out else 'connection_lost'}_{phase}"
        super().__init__(self.reason)


class UntrustedError(SmtpError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
