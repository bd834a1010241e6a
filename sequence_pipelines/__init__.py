"""Contains the Dagster code location: plans a day, dispatches timed messages, applies delivery results."""

import os

# Set before numpy is imported, which otherwise requests huge pages from the kernel. A process that lives for
# one plan waits longer for huge pages than it saves with them (docs/performance.md).
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
