"""Parts of Dagster's instance (`dagster.yaml`): launcher, run queue, and the lock that each running run holds."""
