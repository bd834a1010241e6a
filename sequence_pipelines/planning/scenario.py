"""What a forecast may try, and its bounds: apart from the forecast, whose imports a command waits for only if it runs."""

from __future__ import annotations

from dataclasses import dataclass

MOST_DAYS, MOST_ADDED, MOST_MAILS = 365, 1000, 2**31 - 1  # a limit is an integer of Postgres


@dataclass(frozen=True)
class WhatIf:
    """A change to try: mailboxes added to every active sequence, another limit, a bound of first mails.

    `limit` is the added mailboxes' own, or where none is added, every mailbox's. What an added mailbox has else is
    what most mailboxes have. None and 0 change nothing.
    """

    add_mailboxes: int = 0
    limit: int | None = None
    max_first_mails: int | None = None
