"""Parts of Dagster's instance (`deploy/dagster.yaml`): launcher, run queue, the lock of each running run."""
