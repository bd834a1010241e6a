"""The Sequence API: sequences, mailboxes and contacts in, and what was and will be sent out."""
