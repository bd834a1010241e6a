"""Open pixel, click redirect and unsubscribing: what mails link to."""
