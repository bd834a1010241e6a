"""Sends the events of the feed to webhooks."""
