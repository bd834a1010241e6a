"""Builds incoming mails: replies, delivery status notifications and complaints."""

from __future__ import annotations

from sequence_store.domain.messages import SendKey
from sequence_store.mail.message_ids import message_id
from sequence_store.settings import LOCAL_LINK_KEY


def id_of(key: SendKey) -> str:
    return message_id(key, "sender.example", LOCAL_LINK_KEY.encode())


def mail(
    key: SendKey, *, headers: str = "", body: str = "Thanks, call me.", sender: str = "bob@people.example"
) -> bytes:
    """Return a reply to the send's mail; `headers` are prepended."""
    lines = (
        f"{headers}From: Bob <{sender}>\nTo: ann@sender.example\nSubject: Re: Hello\n"
        f"Message-ID: <answer-{abs(hash((key, headers, body)))}@people.example>\n"
        f"In-Reply-To: {id_of(key)}\nReferences: <older@x.example>\n {id_of(key)}\n\n{body}\n"
    )
    return lines.replace("\n", "\r\n").encode()


def report(
    key: SendKey,
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 no such user",
    returned: str = "",
) -> bytes:
    """Return a delivery status notification as Postfix writes it (RFC 3464)."""
    original = returned or f"Subject: Hello\nMessage-ID: {id_of(key)}\nFrom: ann@sender.example\n"
    lines = f"""Return-Path: <>
From: MAILER-DAEMON@mx.people.example (Mail Delivery System)
To: ann@sender.example
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Message-ID: <report-{status}-{action}@mx.people.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain

This is the mail system at host mx.people.example.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.people.example

Final-Recipient: rfc822; bob@people.example
Action: {action}
Status: {status}
Diagnostic-Code: {diagnostic}

--b1
Content-Type: text/rfc822-headers

{original}
--b1--
"""
    return lines.replace("\n", "\r\n").encode()


def complaint(key: SendKey) -> bytes:
    """Return an abuse report (RFC 5965)."""
    lines = f"""From: complaints@provider.example
To: ann@sender.example
Subject: FW: Hello
Message-ID: <abuse@provider.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b1"

--b1
Content-Type: text/plain

This is an email abuse report.

--b1
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Provider/1.0
Version: 1

--b1
Content-Type: message/rfc822

From: ann@sender.example
Message-ID: {id_of(key)}
Subject: Hello

Hi
--b1--
"""
    return lines.replace("\n", "\r\n").encode()
