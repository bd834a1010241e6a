"""Measures the product's speed and memory against a limit or an alternative."""

import sequence_pipelines  # noqa: F401  # before numpy: it configures numpy's memory allocation
