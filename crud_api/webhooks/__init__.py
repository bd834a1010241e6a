"""Webhooks: receivers of the feed over https."""
