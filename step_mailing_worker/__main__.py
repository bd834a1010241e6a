"""Runs the worker as a process: `python -m step_mailing_worker`."""

from __future__ import annotations

import sys

from sequence_store.errors import StoreError
from sequence_store.settings import WorkerSettings, read_settings
from step_mailing_worker.main import run

if __name__ == "__main__":
    try:
        sys.exit(run(read_settings(WorkerSettings)))
    except StoreError as error:
        sys.exit(str(error))
