"""Tracking: open pixel, click redirect and unsubscribe links of mails."""
