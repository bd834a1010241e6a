"""Explanations of the stored words: what each one means and what to do about it.

`sequences why`, the Dagster UI, the runbook and docs/states.md show these texts; a test compares the pages
with them. A word that several enums share has one meaning, so the lookup needs only the word.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from sequence_store.domain.states import (
    AttemptReason,
    ClosedGate,
    Deferral,
    EnrolmentReason,
    EnrolmentStatus,
    EventKind,
    FeedbackKind,
    ReputationReason,
    SendReason,
    SendStatus,
    SuppressionReason,
)


class Explanation(NamedTuple):
    """What a word means, and what a person can do; `action` is empty if there is nothing to do."""

    meaning: str
    action: str = ""

    def __str__(self) -> str:
        return f"{self.meaning} {self.action}".strip()


_NEXT_PLAN = "Nothing to do: the next plan takes the contact up."
_CHECK = "Run `sequences mailbox check`, then correct the mailbox in the API."
_RETRIED = "Nothing to do: the worker retries with a growing delay."
_RETRIED_BEFORE_DOT = "Nothing to do: the worker retries. After the final dot the outcome is unknown instead."
_SIGN_IN = "Run `sequences mailbox check`, then enter a working secret in the API."

_STATUSES: dict[StrEnum, Explanation] = {
    SendStatus.PLANNED: Explanation(
        "The send has a mailbox and a second; its message is not on the queue yet."
    ),
    SendStatus.DISPATCHED: Explanation("The send's message is on the queue."),
    SendStatus.CLAIMED: Explanation("A worker holds the send."),
    SendStatus.TRANSMITTING: Explanation("A worker is handing the mail to the server."),
    SendStatus.SENT: Explanation("The server accepted the mail."),
    SendStatus.HARD_FAILED: Explanation("The server refused the recipient permanently."),
    SendStatus.UNKNOWN: Explanation(
        "The connection was lost while the server was accepting the mail: it may or may not have been sent.",
        "Look for it in the mailbox's Sent folder, then run `sequences sends resolve`.",
    ),
    SendStatus.CANCELLED: Explanation("The send was withdrawn before it was mailed; the reason says why."),
    SendStatus.EXPIRED: Explanation("The send was not mailed in time.", _NEXT_PLAN),
    EnrolmentStatus.ACTIVE: Explanation("The contact receives the steps of the sequence."),
    EnrolmentStatus.PAUSED: Explanation(
        "The enrolment is paused: no step is sent.", "Set its status to `active` in the API to resume it."
    ),
    EnrolmentStatus.COMPLETED: Explanation("The last step was sent, or no step is left."),
    EnrolmentStatus.REPLIED: Explanation("The contact replied."),
    EnrolmentStatus.BOUNCED: Explanation("A mail to the contact failed permanently."),
    EnrolmentStatus.REMOVED: Explanation("The contact was removed from the sequence."),
}

_DEFERRALS: dict[StrEnum, Explanation] = {
    Deferral.NO_CAPACITY: Explanation(
        "Every mailbox of the sequence is full for today.",
        "Wait, add mailboxes to the sequence, or raise their limits in the API.",
    ),
    Deferral.PINNED_MAILBOX_FULL: Explanation(
        "The mailbox that sent the first mail is full for today.",
        "Nothing to do: the next plan tries again, follow-ups first.",
    ),
    Deferral.LATER_TODAY: Explanation(
        "The mailbox is full for what is left of the planning day; the same date goes on in the next one.",
        "Nothing to do: the next plan gives it a slot on that date if the mailbox's limit allows it.",
    ),
    Deferral.WINDOW_CLOSED: Explanation(
        "No mailbox that may send the mail has an open window left today; a follow-up may use only the "
        "mailbox of its first mail, from its date on.",
        "Nothing to do: the mail is sent when one opens next.",
    ),
    Deferral.ONE_MAIL_A_DAY: Explanation(
        "The contact gets another mail today, or had one on a date that this mail could have.", _NEXT_PLAN
    ),
    Deferral.MAX_NEW_PER_DAY: Explanation(
        "The sequence's limit of first mails a day is reached.", "Wait, or raise `maxNewPerDay` in the API."
    ),
    Deferral.MAX_FIRST_MAILS: Explanation(
        "The mailboxes' limit of first mails a day is reached.", "Wait, or raise `maxFirstMails` in the API."
    ),
    Deferral.NO_MAILBOX: Explanation("The sequence has no mailbox.", "Assign a mailbox in the API."),
    Deferral.MAILBOX_MISCONFIGURED: Explanation(
        "The mailbox's time zone, send days or holiday calendar is invalid.",
        "Correct it in the API; the check `mailboxes_are_configured` names the mailbox.",
    ),
    Deferral.OPT_OUT_UNVERIFIED: Explanation(
        "Somebody asked for no more mail to the contact, who may not be the contact.",
        "Run `sequences optouts list`, then confirm or lift the opt-out.",
    ),
    Deferral.COMPANY_STOPPED: Explanation(
        "A contact of the same company replied, and that sequence stops the whole company.",
        "Nothing to do; `sequences replies undo` with the address that replied lets mails go again.",
    ),
    Deferral.AWAY: Explanation(
        "The contact is held: an absence notice says that it is away, or a person set `holdUntil`.",
        "Nothing to do: the contact is mailed after the last held date. "
        "`holdUntil` in the API ends the hold.",
    ),
    Deferral.INVALID_ADDRESS: Explanation(
        "The contact's address is invalid.",
        "Correct it in the API; the check `addresses_are_valid` names the contact.",
    ),
    Deferral.UNKNOWN_OUTCOME: Explanation(
        "The outcome of the contact's last mail is unknown.",
        "Run `sequences sends resolve`, or wait: after UNKNOWN_SETTLES seconds it counts as sent.",
    ),
    Deferral.CAME_LATER: Explanation(
        "The contact, or another step of it, became due while the latest plan was being made.", _NEXT_PLAN
    ),
}

_GATES: dict[StrEnum, Explanation] = {
    ClosedGate.ENROLMENT_PAUSED: Explanation(
        "The enrolment was paused.", "Set its status to `active` in the API to resume it."
    ),
    ClosedGate.ENROLMENT_COMPLETED: Explanation("The enrolment was completed."),
    ClosedGate.ENROLMENT_REPLIED: Explanation("The contact had replied."),
    ClosedGate.ENROLMENT_BOUNCED: Explanation("A mail to the contact had failed permanently."),
    ClosedGate.ENROLMENT_UNSUBSCRIBED: Explanation("The contact had unsubscribed."),
    ClosedGate.ENROLMENT_REMOVED: Explanation(
        "The contact was removed from the sequence, or was enrolled again in a new round."
    ),
    ClosedGate.CONTACT_INACTIVE: Explanation(
        "The contact is switched off or deleted.", "Switch it on in the API."
    ),
    ClosedGate.SUPPRESSED: Explanation(
        "The address is suppressed and must not be mailed.",
        "Nothing to do, unless the suppression is wrong: `GET /suppressions` in the API shows its reason.",
    ),
    ClosedGate.STEP_DELETED: Explanation("The step was deleted."),
    ClosedGate.SEQUENCE_INACTIVE: Explanation(
        "The sequence is switched off or deleted.",
        "Correct the cause if an event `sequence_switched_off` names one, then switch it on in the API.",
    ),
    ClosedGate.MAILBOX_INACTIVE: Explanation(
        "The mailbox is switched off or deleted.", "Switch a mailbox of the sequence on in the API."
    ),
    ClosedGate.MAILBOX_PARKED: Explanation(
        "The mailbox is parked.", "Run `sequences mailbox check`, and correct what it reports."
    ),
    ClosedGate.DELAY_CHANGED: Explanation(
        "The step's delay was raised, or another step came before it: its date is not reached yet.",
        "Nothing to do: the next plan takes the contact up on its date.",
    ),
    ClosedGate.MAILED_BEFORE: Explanation(
        "The archive shows that this step was already mailed in this round."
    ),
    ClosedGate.ALL_PAUSED: Explanation(
        "All sending was paused with `sequences pause-all`.",
        "Run `sequences resume-all`; the next plan takes the contact up.",
    ),
}

_SEND_REASONS: dict[StrEnum, Explanation] = {
    SendReason.WINDOW_CHANGED: Explanation(
        "The mailbox's window changed, and the planned second is no longer inside it.", _NEXT_PLAN
    ),
    SendReason.LIMIT_LOWERED: Explanation(
        "The mailbox's limit was lowered below the number of planned sends.", _NEXT_PLAN
    ),
    SendReason.LIMIT_REACHED: Explanation(
        "The mailbox's daily limit was used up when the mail was to be sent.", _NEXT_PLAN
    ),
    SendReason.UNSUBSCRIBED: Explanation("The contact unsubscribed."),
    SendReason.CONTACT_ERASED: Explanation("The contact's personal data was erased."),
    SendReason.NOT_AFTER: Explanation(
        "The send passed its latest time, `not_after`, before it was mailed.",
        "Nothing to do for the contact: the next plan takes it up. If there are many, look at the sensor "
        "`timed_dispatch_sensor` and at the workers.",
    ),
    SendReason.GAP: Explanation(
        "The minimum gap since the mailbox's last mail had not passed; the send moved to a later second, or "
        "expired if there was none."
    ),
    SendReason.MESSAGE_VANISHED: Explanation(
        "The send's message did not reach a worker, so `reconcile` planned the send again.",
        "If there are many, look at the retention of the sends queue and at its other consumers.",
    ),
    SendReason.CLAIM_LOST: Explanation(
        "The worker that held the send stopped, so `reconcile` planned the send again.",
        "If there are many, look at the workers' logs and memory.",
    ),
    SendReason.NO_ANSWER: Explanation(
        "The transmission had no answer within TRANSMITTING_BOUND_SECONDS, so its outcome is unknown.",
        "Look for the mail in the mailbox's Sent folder, then run `sequences sends resolve`.",
    ),
    SendReason.REFUSED_TODAY: Explanation(
        "The server refused the mail for now.", "Nothing to do: the contact is planned for a later date."
    ),
    SendReason.RELAY_LACKS_SMTPUTF8: Explanation(
        "The contact's address needs SMTPUTF8, which the mailbox's server does not offer.",
        "Use a mailbox at a server with SMTPUTF8, or an ASCII address.",
    ),
    SendReason.SOFT_FAILURES: Explanation(
        "The recipient was refused on as many dates as count as final; the enrolment is bounced."
    ),
    SendReason.FEEDBACK: Explanation(
        "A bounce, a reply or a report for the mail came back, so the unknown send counts as sent."
    ),
    SendReason.RESOLVED: Explanation("A person settled the unknown send with `sequences sends resolve`."),
    SendReason.RESTORED: Explanation(
        "`sequences restore-guard` settled it after the database was restored from a backup."
    ),
}

_ATTEMPT_REASONS: dict[StrEnum, Explanation] = {
    AttemptReason.ACCEPTED: Explanation("The server accepted the mail."),
    AttemptReason.SERVER_NOT_READY: Explanation("The mail server was not ready for a connection.", _RETRIED),
    AttemptReason.SERVER_CLOSES: Explanation("The mail server closed the connection (421).", _RETRIED),
    AttemptReason.SERVER_DEFERRED: Explanation("The mail server deferred the mail.", _RETRIED),
    AttemptReason.PROTOCOL_REFUSED: Explanation("The mail server did not accept an SMTP command.", _RETRIED),
    AttemptReason.UNREADABLE_ANSWER: Explanation(
        "The mail server's reply is not valid SMTP.", _RETRIED_BEFORE_DOT
    ),
    AttemptReason.DATABASE_LOST_AT_GATE: Explanation(
        "The worker lost its database connection just before DATA, so the mail was not sent.", _RETRIED
    ),
    AttemptReason.TIMEOUT: Explanation(
        "The mail server did not answer in time in the named phase.",
        _RETRIED_BEFORE_DOT,
    ),
    AttemptReason.CONNECTION_LOST: Explanation(
        "The connection to the mail server was lost in the named phase.",
        _RETRIED_BEFORE_DOT,
    ),
    AttemptReason.SIGN_IN_DEFERRED: Explanation("The mail server deferred the sign-in.", _RETRIED),
    AttemptReason.SIGN_IN_REFUSED: Explanation("The mail server refused the sign-in.", _SIGN_IN),
    AttemptReason.SIGN_IN_NEEDED: Explanation("The mail server requires a sign-in or TLS.", _CHECK),
    AttemptReason.SIGN_IN_NOT_OFFERED: Explanation("The mail server offers no supported sign-in.", _CHECK),
    AttemptReason.PASSWORD_SIGN_IN_ENDED: Explanation(
        "The provider no longer accepts passwords.",
        "Enter an OAuth 2 grant as the mailbox's secret in the API.",
    ),
    AttemptReason.PASSWORD_WITHOUT_TLS: Explanation(
        "The mailbox has a secret but its connection has no TLS.",
        "Set its security to `tls` or `starttls` in the API.",
    ),
    AttemptReason.STARTTLS_NOT_OFFERED: Explanation("The mail server does not offer STARTTLS.", _CHECK),
    AttemptReason.XOAUTH2_NOT_OFFERED: Explanation("The mail server does not offer XOAUTH2.", _CHECK),
    AttemptReason.SMTPUTF8_NOT_OFFERED: Explanation(
        "The mailbox's own address needs SMTPUTF8, which its mail server does not offer.",
        "Use an ASCII address for the mailbox, or a server with SMTPUTF8.",
    ),
    AttemptReason.CERTIFICATE_NOT_TRUSTED: Explanation(
        "The mail server's certificate is not trusted.",
        "Correct the host name, or set SSL_CERT_FILE for a private authority.",
    ),
    AttemptReason.PRIVATE_HOST: Explanation(
        "The mail server's name resolves to a private network, which is forbidden outside `local`.", _CHECK
    ),
    AttemptReason.PORT_NOT_FOR_MAIL: Explanation("The mailbox's port is not a mail port.", _CHECK),
    AttemptReason.MAIL_SINK: Explanation(
        "The mail server is a mail sink, which delivers nothing; outside `local` it is refused.",
        "Set the mailbox's server in the API, or SMTP_HOST, to a real mail server.",
    ),
    AttemptReason.NO_SMTP_HOST: Explanation(
        "The mailbox has no server, and SMTP_HOST is not set.",
        "Set the mailbox's `smtpHost` in the API, or set SMTP_HOST and restart the workers.",
    ),
    AttemptReason.SECRET_MISSING: Explanation("The mailbox has a username but no secret.", _SIGN_IN),
    AttemptReason.SECRET_NOT_FOUND: Explanation(
        "AWS Secrets Manager has no such secret, or the worker may not read it.", _SIGN_IN
    ),
    AttemptReason.SECRET_NOT_UNDERSTOOD: Explanation(
        "The mailbox's secret is neither a password nor a valid OAuth 2 grant.", _SIGN_IN
    ),
    AttemptReason.SECRET_NOT_SEALED: Explanation(
        "The mailbox's secret is stored unencrypted, which only the environment `local` allows.",
        "Run `sequences mailbox rotate-secrets`.",
    ),
    AttemptReason.SECRET_OF_ANOTHER_KEY: Explanation(
        "No key in SECRET_KEYS decrypts the mailbox's secret.",
        "Add the key that encrypted it to SECRET_KEYS, or enter the secret again.",
    ),
    AttemptReason.TOKEN_REFUSED: Explanation(
        "The provider refused to issue an access token; its error code follows.",
        "Sign in with the provider again, and enter the new refresh token in the API.",
    ),
    AttemptReason.TOKEN_UNREADABLE: Explanation(
        "The provider's token reply holds no usable access token.", _SIGN_IN
    ),
    AttemptReason.TOKEN_URL_WITHOUT_TLS: Explanation(
        "The grant's `token_url` is not `https://`.", "Enter a grant with an `https://` URL in the API."
    ),
    AttemptReason.NO_AWS_CREDENTIALS: Explanation(
        "The worker has no AWS credentials for Amazon SES.",
        "Enter an access key for the mailbox, or give the worker credentials.",
    ),
    AttemptReason.DAILY_LIMIT: Explanation(
        "The provider's daily limit of the mailbox is reached.",
        "Lower the mailbox's limit below the provider's.",
    ),
    AttemptReason.TENANT_LIMIT: Explanation(
        "The provider's limit of the whole organisation is reached.",
        "Lower the limits of its mailboxes below the provider's.",
    ),
    AttemptReason.RATE_LIMIT: Explanation(
        "The provider says that the mailbox sends too fast.",
        "If it recurs, raise `minGapSeconds` in the API. A temporary reply is retried; a permanent one parks "
        "the mailbox.",
    ),
    AttemptReason.SENDER_POLICY: Explanation(
        "A policy of the server refused the sender: its reputation, its rights or its DNS records.",
        "Run `sequences mailbox check`, and correct what it reports.",
    ),
    AttemptReason.SENDER_REFUSED: Explanation("The server refused the sender's address.", _CHECK),
    AttemptReason.RELAYING_REFUSED: Explanation("The mail server does not relay for this mailbox.", _CHECK),
    AttemptReason.MESSAGE_TOO_LARGE: Explanation(
        "The mail is too large for the server.", "Shorten the step."
    ),
    AttemptReason.CONTENT_REFUSED: Explanation(
        "The server refused the mail's content.", "Correct the step, then resume the enrolment."
    ),
    AttemptReason.TEMPLATE: Explanation(
        "The step's template cannot be rendered for this contact; the text after the colon says why.",
        "Correct the step or the contact's attributes, then resume the enrolment.",
    ),
    AttemptReason.MISSING_VALUE: Explanation(
        "The step's template needs a name or an attribute that the contact has only as a placeholder, such "
        "as #N/A; the text after the colon says which.",
        "Correct the contact, or give the step's variable a default, then resume the enrolment.",
    ),
    AttemptReason.SUBJECT: Explanation(
        "The subject cannot be put into a header; the text after the colon says why.",
        "Correct the step's subject, then resume the enrolment.",
    ),
    AttemptReason.MAIL: Explanation(
        "The mail could not be made safely from the step.", "Correct the step, then resume the enrolment."
    ),
    AttemptReason.CONTACT_ADDRESS: Explanation(
        "The contact's address is not a valid mail address.",
        "Correct it in the API and enrol the contact again.",
    ),
    AttemptReason.MAILBOX_ADDRESS: Explanation(
        "The mailbox's address is not a valid mail address.", "Correct it in the API."
    ),
    AttemptReason.MAILBOX_DISPLAY_NAME: Explanation(
        "The mailbox's display name cannot be put into a header.", "Correct it in the API."
    ),
    AttemptReason.MAILBOX_FULL: Explanation("The recipient's mailbox is full.", _RETRIED),
    AttemptReason.NO_SUCH_RECIPIENT: Explanation("The server says that the recipient does not exist."),
    AttemptReason.RECIPIENT_REFUSED: Explanation("The server refused the recipient permanently."),
    AttemptReason.RECIPIENT_DEFERRED: Explanation("The server deferred the recipient.", _RETRIED),
    AttemptReason.RECIPIENT_TAKES_NO_STRANGERS: Explanation(
        "The recipient accepts no mail from outside its organisation."
    ),
    AttemptReason.DOMAIN_UNREACHABLE: Explanation("The recipient's domain cannot be reached.", _RETRIED),
    AttemptReason.NO_SUCH_DOMAIN: Explanation("The recipient's domain does not exist or takes no mail."),
}

_REPUTATION: dict[StrEnum, Explanation] = {
    ReputationReason.POLICY_REFUSALS: Explanation(
        "Servers of three domains or more refused five of the mailbox's last 100 mails by policy.",
        "Run `sequences mailbox check`, and look at the replies with `sequences sends list`.",
    ),
    ReputationReason.UNKNOWN_OUTCOMES: Explanation(
        "Three mails of the mailbox in a row had an unknown outcome: the connection to its server is faulty.",
        "Look at the network first, then at the unknown sends.",
    ),
    ReputationReason.BOUNCE_RATE: Explanation(
        "Hard bounces reached 5 % of the last 100 mails: the addresses are bad, and more mails would damage "
        "the sender's reputation.",
        "Verify the addresses before the mailing goes on.",
    ),
    ReputationReason.COMPLAINT_RATE: Explanation(
        "Two recipients among the last 666 mails reported spam (0.3 %).",
        "Change what is sent, or to whom, before the mailing goes on.",
    ),
    ReputationReason.MESSAGE_FAULTS: Explanation(
        "Five mails of one step in a row could not be made or were refused for their content.",
        "Correct the step, then switch the sequence on in the API.",
    ),
}

_FEEDBACK: dict[StrEnum, Explanation] = {
    FeedbackKind.BOUNCE: Explanation("A mail came back: the recipient failed permanently."),
    FeedbackKind.SOFT_BOUNCE: Explanation("A mail came back: the recipient failed temporarily."),
    FeedbackKind.COMPLAINT: Explanation("The recipient reported a mail as spam."),
    FeedbackKind.REPLY: Explanation("The contact replied."),
    FeedbackKind.AUTO_REPLY: Explanation("An automatic reply came back, such as an out-of-office note."),
    FeedbackKind.OPT_OUT: Explanation("A mail asked for no more mail."),
    EventKind.REPLY_UNDONE: Explanation("A person undid the stop by a reply."),
    EventKind.OPT_OUT_CONFIRMED: Explanation("A person confirmed an opt-out; the address is suppressed."),
    EventKind.OPT_OUT_LIFTED: Explanation("A person lifted an opt-out that was not verified."),
    EventKind.HELD: Explanation("The contact gets no mail up to a date: it is away, or a person held it."),
    EventKind.HOLD_ENDED: Explanation("A person ended the hold; the contact may be mailed again."),
    EnrolmentReason.LEFT_COMPANY: Explanation(
        "An automatic reply says that the contact has left the company.",
        "Run `sequences replies list`, and decide whether to enrol somebody else.",
    ),
    FeedbackKind.DELIVERY: Explanation("The provider reported the delivery."),
    EnrolmentReason.CONTACT_DELETED: Explanation("The contact was deleted."),
    SuppressionReason.HARD_BOUNCE: Explanation("A mail to the address failed permanently."),
    SuppressionReason.REFUSED: Explanation(
        "Servers refused mails to the address again and again; the suppression has an end."
    ),
    SuppressionReason.ERASED: Explanation("The contact's personal data was erased."),
    SuppressionReason.OPTED_OUT: Explanation(
        "The contact does not want mail, by a column of an imported file: it opted out in another tool."
    ),
    SuppressionReason.IMPORTED: Explanation("The address was imported as suppressed, without a reason."),
    EventKind.WEBHOOK_SWITCHED_OFF: Explanation(
        "The receiver of a webhook failed for three days, or answered that it is gone.",
        "Repair it, then set isActive of the webhook in the API: it continues where it stopped.",
    ),
    EventKind.SOFT_FAILURE: Explanation("An attempt failed temporarily."),
    EventKind.MESSAGE_FAULT: Explanation("The mail could not be made or was refused for its content."),
    EventKind.OPENED: Explanation("The mail's open pixel was loaded."),
    EventKind.CLICKED: Explanation("A link of the mail was followed."),
    EventKind.SUPPRESSION_LIFTED: Explanation("A person lifted the suppression of an address."),
    EventKind.SEQUENCE_SWITCHED_OFF: Explanation(
        "The sequence was switched off automatically.", "Correct the cause, then switch it on in the API."
    ),
}

EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(
    {
        str(word): explanation
        for group in (
            _STATUSES,
            _DEFERRALS,
            _GATES,
            _SEND_REASONS,
            _ATTEMPT_REASONS,
            _REPUTATION,
            _FEEDBACK,
        )
        for word, explanation in group.items()
    }
)

_UNKNOWN = Explanation("No explanation is stored: a person or a newer version entered this text.")


def explain(reason: str) -> str:
    """Return the meaning of a stored word and what to do about it, as one or two sentences.

    A word may be followed by a colon and details (`token_refused: invalid_grant`), or by a phase
    (`timeout_rcpt`). Never fails: an unknown word gets a sentence that says so.
    """
    return str(explanation_of(reason))


def explanation_of(reason: str) -> Explanation:
    """Return meaning and action apart, for tables; never fails."""
    word = str(reason).partition(":")[0]
    if found := EXPLANATIONS.get(word):
        return found
    for phased in (AttemptReason.TIMEOUT, AttemptReason.CONNECTION_LOST):
        if word.startswith(f"{phased}_"):
            return EXPLANATIONS[phased]
    return _UNKNOWN
