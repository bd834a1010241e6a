"""Secrets: the keys of the API and the encryption of the mailboxes' secrets."""
