"""Entry point `python -m local_stack ROOT`: the background supervisor of `sequences stack up --detach`."""

from __future__ import annotations

import sys
from pathlib import Path

from local_stack.errors import StackError
from local_stack.stack import up

if __name__ == "__main__":
    try:
        up(Path(sys.argv[1]), detached=True)
    except StackError as error:
        sys.exit(str(error))
