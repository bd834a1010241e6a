"""The Dagster code location: plans a day, emits timed messages, applies delivery results."""

import os

# Before numpy is imported: it asks the kernel for huge pages, and a process that lives for one plan waits longer for
# them to be made than it saves (docs/performance.md).
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
