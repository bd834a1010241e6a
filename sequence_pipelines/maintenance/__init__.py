"""Keeps the ledger in order: reconciliation, archive, restore guard, verification, judgements, alerts."""
