"""Tests of the Makefile's choice of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(folder: Path, version: str) -> Path:
    """Make a program that reports the version, as any Python does."""
    program = folder / "any python"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return program


def make(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    outer = {"PYTHON", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # of the `make test` that runs this test
    environment = {name: value for name, value in os.environ.items() if name not in outer} | variables
    return subprocess.run(
        ["make", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder whose environment of Python 3.11 is made already."""
    root = tmp_path / "it's a project"
    (root / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "scripts", root / "scripts")
    python(tmp_path, "3.11").rename(root / ".venv" / "bin" / "python")
    (root / ".venv" / ".installed").touch()
    return root


@pytest.mark.parametrize("target", ["setup", "test", "check", "check-deploy"])
@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14", "4.0"])
def test_unsupported_python_is_refused_also_if_the_environment_exists(
    project: Path, tmp_path: Path, version: str, target: str
) -> None:
    chosen = python(tmp_path, version)
    refused = make(project, target, f"PYTHON={chosen}")
    assert refused.returncode == 2
    assert f"is Python {version}; this project needs 3.11 to 3.13." in refused.stderr
    assert refused.stdout == ""


def test_unsupported_python_of_the_environment_variable_is_refused(project: Path, tmp_path: Path) -> None:
    refused = make(project, "setup", PYTHON=str(python(tmp_path, "3.9")))
    assert refused.returncode == 2
    assert "is Python 3.9" in refused.stderr


def test_python_that_does_not_exist_is_refused(project: Path) -> None:
    refused = make(project, "setup", "PYTHON=no-such-python")
    assert refused.returncode == 2
    assert "PYTHON=no-such-python does not run" in refused.stderr


def test_supported_python_is_accepted_and_the_existing_environment_named(
    project: Path, tmp_path: Path
) -> None:
    same = make(project, "setup", f"PYTHON={python(tmp_path, '3.11')}")
    assert (same.returncode, same.stderr) == (0, "")
    other = make(project, "setup", f"PYTHON={python(tmp_path, '3.13')}")
    assert other.returncode == 0
    assert ".venv has Python 3.11 and stays in use" in other.stderr


def test_default_python_is_not_checked_while_the_environment_exists(project: Path) -> None:
    assert make(project, "setup").returncode == 0
