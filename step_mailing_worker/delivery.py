"""Delivers a claimed send: builds the mail, begins it, passes the gate, transfers it, reads the reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from sequence_store.domain.messages import SendMessage
from sequence_store.domain.states import AttemptReason, Fault, Outcome, Parks
from sequence_store.failpoints import Failpoint, reach
from sequence_store.settings import WorkerSettings
from sequence_store.tracing.traces import OFF, Traces
from step_mailing_worker.endpoints import SES, endpoint_of
from step_mailing_worker.errors import LostError, MailError, NoCredentialError, RefusedError, UntrustedError
from step_mailing_worker.links import MailLinks
from step_mailing_worker.mail import Mail, MailOrder, build_mail
from step_mailing_worker.mailbox_connections import MailboxConnections
from step_mailing_worker.ses import SesTransport
from step_mailing_worker.signing import Signer
from step_mailing_worker.smtp import Endpoint
from step_mailing_worker.smtp_replies import (
    Phase,
    Reply,
    meaning_of,
    provider_message_id,
    retry_delay,
    storable,
)
from step_mailing_worker.store import DATABASE_AWAY, ClaimedSend, Finish


@dataclass(frozen=True)
class Delivery:
    """Delivers mails by SMTP or SES; what an attempt ends with becomes a Finish."""

    settings: WorkerSettings
    connections: MailboxConnections
    signer: Signer
    ses: SesTransport
    traces: Traces = OFF

    async def deliver(
        self, message: SendMessage, send: ClaimedSend, pass_gate: Callable[[], Awaitable[None]]
    ) -> Finish:
        """Return the outcome to record. `pass_gate` runs after RCPT and directly before DATA.

        Raise GateClosedError from `pass_gate`; every other error of the delivery becomes an outcome.
        """
        try:
            with self.traces.span("render"):
                mail = build_mail(self._order(message, send), *self.settings.message_id_keys)
            endpoint = endpoint_of(send, mail.sender, self.settings)
            with self.traces.span("smtp"):
                reply = await self._send(mail, endpoint, pass_gate)
        except MailError as error:
            return self._not_built(error)
        except RefusedError as error:
            return self._replied(error.reply, message.attempt)
        except (UntrustedError, NoCredentialError) as error:
            return self._parking(error.reason)
        except LostError as error:
            return self._lost(error, message.attempt)
        except DATABASE_AWAY:
            # Nothing was sent. The row says whether the gate was passed; this attempt still holds its claim.
            return self._soft(Fault.CONNECTION, AttemptReason.DATABASE_LOST_AT_GATE, "", message.attempt)
        return self._replied(reply, message.attempt)

    async def _send(self, mail: Mail, endpoint: Endpoint, pass_gate: Callable[[], Awaitable[None]]) -> Reply:
        if endpoint.host.startswith(SES):  # SES adds the DKIM signature itself
            return await self.ses.send(endpoint, mail, pass_gate)
        return await self._transmit(self.signer.signed(mail), endpoint, pass_gate)

    async def _transmit(
        self, mail: Mail, endpoint: Endpoint, pass_gate: Callable[[], Awaitable[None]]
    ) -> Reply:
        async with self.connections.begun(endpoint, mail) as connection:
            await connection.rcpt(mail)
            reach(Failpoint.AFTER_RCPT)
            await pass_gate()
            reach(Failpoint.AFTER_TRANSMITTING)
            reply = await connection.transfer(mail)
        reach(Failpoint.AFTER_ANSWER)
        return reply

    def _replied(self, reply: Reply, attempt: int) -> Finish:
        meaning = meaning_of(reply)
        verdict = meaning.verdict
        soft = meaning.outcome is Outcome.SOFT_FAILED
        return Finish(
            meaning.outcome,
            meaning.fault,
            meaning.reason,
            self._park_seconds,
            cause=verdict.reason if verdict else None,
            suppresses=verdict is not None and verdict.suppresses,
            parks=verdict.parks if verdict else Parks.NO,
            counted=verdict.counted if verdict else None,
            smtp_code=reply.code if reply.code > 0 else None,
            enhanced_code=reply.enhanced_code,
            smtp_reply=storable(reply.text),
            provider_message_id=provider_message_id(reply.text) if meaning.outcome is Outcome.SENT else None,
            retry_seconds=self._retry(reply.text, attempt) if soft else 0.0,
        )

    def _not_built(self, error: MailError) -> Finish:
        match error.fault:
            case Fault.MAILBOX:
                return self._parking(error.reason)
            case Fault.RECIPIENT:
                outcome = Outcome.EXPIRED if error.waits else Outcome.HARD_FAILED
                return Finish(outcome, error.fault, error.reason, self._park_seconds)
            case Fault.MESSAGE:
                return Finish(Outcome.CANCELLED, error.fault, error.reason, self._park_seconds)
            case Fault.DOMAIN | Fault.CONNECTION:
                raise AssertionError(error.fault)
            case _:
                assert_never(error.fault)

    def _lost(self, error: LostError, attempt: int) -> Finish:
        if error.phase is Phase.DOT:
            return Finish(Outcome.UNKNOWN, None, error.reason, self._park_seconds)
        return self._soft(Fault.CONNECTION, error.reason, "", attempt)

    def _parking(self, reason: str) -> Finish:
        return Finish(Outcome.CANCELLED, Fault.MAILBOX, reason, self._park_seconds, parks=Parks.NOW)

    def _soft(self, fault: Fault, reason: str, text: str, attempt: int) -> Finish:
        retry = self._retry(text, attempt)
        return Finish(Outcome.SOFT_FAILED, fault, reason, self._park_seconds, retry_seconds=retry)

    @property
    def _park_seconds(self) -> float:
        return float(self.settings.park_seconds)

    def _retry(self, text: str, attempt: int) -> float:
        return retry_delay(text, first=self.settings.soft_failure_retry_seconds, attempt=attempt)

    def _order(self, message: SendMessage, send: ClaimedSend) -> MailOrder:
        return MailOrder(
            key=message.key,
            send_at=send.send_at,
            contact_name=send.contact_name,
            contact_address=send.contact_address,
            contact_attributes=send.contact_attributes,
            mail_subject=send.mail_subject,
            mail_content=send.mail_content,
            mail_format=send.mail_format,
            thread_subject=send.thread_subject,
            thread_step_ids=send.thread_step_ids or (),
            thread_rounds=send.thread_rounds or (),
            mailbox_address=send.mailbox_address,
            mailbox_display_name=send.mailbox_display_name,
            links=MailLinks(
                message.key,
                self.settings.link_signer,
                self.settings.public_url_of(send.tracking_host),
                opens=send.open_tracking_enabled,
                clicks=send.click_tracking_enabled,
            ),
        )
