"""Parts of Dagster's instance (`deploy/dagster.yaml`): launcher, run queue, and the lock of each running run."""
