"""Parts of Dagster's instance (`dagster.yaml`): launcher, run queue, and the lock of each running run."""
