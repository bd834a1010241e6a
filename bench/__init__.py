"""What the product costs, against a limit or a peer."""

import sequence_pipelines  # noqa: F401  # before numpy: it says how numpy takes memory
