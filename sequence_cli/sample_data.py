"""`sequences sample-data`."""

from __future__ import annotations

from sequence_store.settings import OwnerSettings, read_settings


def sample_data() -> None:
    """Load the sample sequences, mailboxes and contacts of `examples/` into an empty database."""
    from sequence_cli.sample_loader import load_samples
    from sequence_store.errors import StoreError

    if not load_samples(read_settings(OwnerSettings)):
        raise StoreError("The database holds sequences already; sample data goes into an empty one alone.")
