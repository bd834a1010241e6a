"""`python -m step_mailing_worker`: the same as `sequences worker`."""

import sys

from sequence_store.settings import WorkerSettings, read_settings
from step_mailing_worker.main import run

sys.exit(run(read_settings(WorkerSettings)))
