"""Recognizes mail sinks: servers for development that accept every mail and deliver none."""

from __future__ import annotations

import re

# How sinks greet: ours, MailHog, Mailpit, smtp4dev, MailDev, GreenMail, Inbucket and MailCatcher.
_GREETINGS = re.compile(
    r"\b(mail[- ]?sink|mailhog|mailpit|smtp4dev|maildev|greenmail|inbucket|mailcatcher)\b"
    r"|\bEventMachine SMTP Server\b",
    re.IGNORECASE,
)


def is_sink(greeting: str) -> bool:
    """Return whether a server's first reply is that of a known sink."""
    return _GREETINGS.search(greeting) is not None
