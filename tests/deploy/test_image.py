"""What the image's Dockerfile promises; that it builds and runs is shown by deploy/test.sh on a Docker engine."""

from __future__ import annotations

import re

from tests.deploy.conftest import DEPLOY


def test_the_product_is_not_the_first_place_that_is_searched() -> None:
    """Dagster takes the first entry of sys.path for a program's folder, and imports nothing from it."""
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert "PYTHONSAFEPATH=1" in dockerfile  # so the first entry is no program's folder
    assert not re.search(r"\bPYTHONPATH=", dockerfile)
