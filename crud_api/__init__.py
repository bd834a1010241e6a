"""The Sequence API: manages sequences, mailboxes and contacts, and lists past and planned sends."""
