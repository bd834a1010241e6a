"""The Dagster code location: plans a day, emits timed messages, applies delivery results."""
