"""Publishes planned sends as messages."""
