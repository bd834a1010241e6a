"""Command `sequences webhooks`: sends the events of the feed to webhooks."""

from __future__ import annotations


def webhooks() -> None:
    """Send the events of the feed to the webhooks of the API until SIGTERM.

    It also gives new events their positions, so that readers of GET /events and of the roll-ups are current.
    """
    from sequence_store.settings import WebhookSettings, read_settings, refuse_default_passwords

    settings = read_settings(WebhookSettings)  # before the imports: a missing one is reported at once
    refuse_default_passwords(settings)

    from webhook_sender import main

    main.run(settings)
