"""Describes the changes that a forecast can try, and their bounds, without the forecast's imports."""

from __future__ import annotations

from dataclasses import dataclass

MOST_DAYS, MOST_ADDED, MOST_MAILS = 365, 1000, 2**31 - 1  # a limit is a Postgres integer


@dataclass(frozen=True)
class WhatIf:
    """A change to try: mailboxes added to every active sequence, another limit, a bound of first mails.

    `limit` applies to the added mailboxes or, if none is added, to every mailbox. The other values of an
    added mailbox are those of most mailboxes. None and 0 change nothing.
    """

    add_mailboxes: int = 0
    limit: int | None = None
    max_first_mails: int | None = None
