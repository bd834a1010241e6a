"""Suppressions: addresses that must not be mailed, whatever happens to their contacts."""
