"""Tests that built mails parse strictly by RFC 5322 and RFC 2045, without any defect."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from step_mailing_worker.mail import Mail
from step_mailing_worker.signing import Signer
from tests.step_mailing_worker.test_mail import ANY, PRINTABLE, built, links
from tests.step_mailing_worker.test_signing import KEY as DKIM_KEY
from tests.step_mailing_worker.test_signing import NAME, pem

LONGEST_LINE = 998
WANTED_LINE = 78
STRICT = policy.default.clone(raise_on_defect=True)
ONCE = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "List-Unsubscribe",
        "List-Unsubscribe-Post"]  # fmt: skip
HTML = (
    '<p>Dear {{ contact.name }},</p><p><a href="https://a.example/?x=1&amp;y=2">See</a></p>'
    + "<p>é</p>" * 300
)
SAMPLES: dict[str, dict[str, Any]] = {
    "text": {},
    "letters": {
        "mail_subject": "Grüße " * 40, "contact_name": "Jürgen Groß", "mailbox_display_name": "Änne 😀",
    },
    "long words": {"mail_subject": "x" * 900, "mail_content": "y" * 5_000},
    "html": {"mail_content": HTML},
    "tracked": {"mail_content": HTML, "links": links(opens=True, clicks=True)},
    "follow-up": {"mail_subject": None, "thread_subject": "Hello", "thread_step_ids": tuple(range(10, 40))},
    "dots and From": {"mail_content": ".\n..\nFrom me\n.\n"},
    "quotes": {"contact_name": 'Bob "the" Builder, \\ <x@y.example>', "mailbox_display_name": "Ann; (Sales)"},
    "international domain": {"contact_address": "bob@bücher.example"},
    "trailing blanks": {"mail_content": "Hello  \n \t\nBye\t"},
}  # fmt: skip


def assert_reads_strictly(mail: Mail) -> None:
    content = mail.content
    assert content.isascii()
    assert content.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\x00", content)
    head, _, body = content.partition(b"\r\n\r\n")
    assert max(map(len, body.split(b"\r\n"))) <= WANTED_LINE
    for line in head.split(b"\r\n"):
        assert len(line) <= LONGEST_LINE
        # Only a line of a single word, which cannot be folded, may be longer.
        assert len(line) <= WANTED_LINE or len(line.split()) <= 2, line
        assert re.match(rb"[!-9;-~]+: ?\S?|[ \t]+\S", line), line
    read: Any = message_from_bytes(content, policy=STRICT)
    names = read.keys()
    assert [name for name in ONCE if names.count(name) != 1] == []
    assert all(not header.defects for header in read.values())
    assert read["Date"].datetime.tzinfo is not None
    assert len(read["From"].addresses) == len(read["To"].addresses) == 1
    assert read["To"].addresses[0].addr_spec == str(mail.recipient)
    parts = list(read.walk())
    assert [p.get_content_type() for p in parts] == ["multipart/alternative", "text/plain", "text/html"]
    assert not any(p.defects for p in parts)
    assert (read.preamble, read.epilogue) in {("", ""), (None, ""), (None, None), ("", None)}
    assert all(p.get_content() for p in parts[1:])


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_sample_reads_strictly(sample: dict[str, Any]) -> None:
    assert_reads_strictly(built(**sample))


@settings(max_examples=100, deadline=None)
@given(subject=PRINTABLE, name=PRINTABLE, value=ANY)
def test_whatever_the_values_the_mail_reads_strictly(subject: str, name: str, value: str) -> None:
    if "=?" in subject + name:
        return
    assert_reads_strictly(
        built(
            mail_subject="A {{ contact.attributes.s }}",
            contact_name=name,
            contact_attributes={"s": subject, "v": value},
            mail_content="<p>{{ contact.attributes.v }}</p>",
        )
    )


def test_signed_mail_reads_strictly(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.pem").write_bytes(pem(DKIM_KEY))
    signed = Signer.of(str(tmp_path)).signed(built(**SAMPLES["letters"]))
    assert signed.content.startswith(b"DKIM-Signature:")
    assert_reads_strictly(signed)
