"""Tests properties of the Dockerfile. `make trial NAME=docker` builds and runs the image."""

from __future__ import annotations

import re

from tests.deploy.conftest import ROOT


def test_product_is_not_the_first_entry_of_the_search_path() -> None:
    """Dagster treats the first entry of sys.path as a program's folder, and imports nothing from it."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "PYTHONSAFEPATH=1" in dockerfile
    assert not re.search(r"\bPYTHONPATH=", dockerfile)
