"""Runs the worker as a process: `python -m step_mailing_worker`."""

from __future__ import annotations

import sys

from sequence_store.errors import StoreError
from sequence_store.settings import WorkerSettings, read_settings, refuse_default_passwords
from step_mailing_worker.main import run

if __name__ == "__main__":
    try:
        settings = read_settings(WorkerSettings)
        refuse_default_passwords(settings)
        sys.exit(run(settings))
    except StoreError as error:
        sys.exit(str(error))
