"""Completeness of the documents: settings, commands, links, states and tests are named as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import time
from pathlib import Path

import pytest
import typer.main
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from local_stack.folder import StackFolder
from local_stack.postgres import Postgres
from local_stack.variables import PREFERRED_PORTS, make_variables
from sequence_cli.main import app
from sequence_store.domain.states import TRANSITIONS, EnrolmentStatus
from sequence_store.settings import (
    ApiSettings,
    ObserverSettings,
    OwnerSettings,
    PipelineSettings,
    Settings,
    WorkerSettings,
)

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
KINDS = (Settings, OwnerSettings, ObserverSettings, PipelineSettings, ApiSettings, WorkerSettings)
SETTINGS = {
    name.upper(): [kind.model_fields[name] for kind in KINDS if name in kind.model_fields]
    for one in KINDS
    for name in one.model_fields
}


def rows(document: str, *, width: int) -> list[list[str]]:
    """Return the cells of every table row with `width` columns, without backquotes."""
    lines = (ROOT / "docs" / document).read_text(encoding="utf-8").splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row] for row in cells if len(row) == width]


def shown(field: FieldInfo) -> str:
    """Return a default as the documents show it."""
    value = field.default
    if field.is_required():
        return "required"
    if value is None:
        return "unset"
    if isinstance(value, time):
        return value.isoformat("minutes")
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def default_of(name: str) -> str:
    """Return a setting's default, or `required` if any process requires it."""
    defaults = {shown(field) for field in SETTINGS[name]}
    return "required" if "required" in defaults else defaults.pop()


def test_every_setting_is_documented_with_its_default_and_nothing_else() -> None:
    documented = {name: default for name, default, _, _ in rows("settings.md", width=4)}
    assert documented == {name: default_of(name) for name in SETTINGS}


def test_example_environment_names_every_setting_with_its_default_and_nothing_else() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assigned = dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_0-9]+=", line))
    without_value = {"required": "", "unset": ""}
    wanted = {name: default_of(name) for name in SETTINGS}
    assert assigned == {name: without_value.get(default, default) for name, default in wanted.items()}
    assert all(line.startswith("#") for line in lines if line)


def test_every_variable_of_the_stack_is_documented(tmp_path: Path) -> None:
    folder = StackFolder(tmp_path)
    postgres = Postgres(folder.path / "postgres", 5432)
    written = make_variables(folder, postgres, PREFERRED_PORTS)
    others = {name for name, *_ in rows("settings.md", width=3)}
    assert set(written) <= others | set(SETTINGS)
    assert not others & set(SETTINGS)


def test_table_of_transitions_is_the_state_machine() -> None:
    documented = [(before, after) for before, after, _, _ in rows("states.md", width=4)]
    assert sorted(documented) == sorted((before.value, after.value) for before, after in TRANSITIONS)


def test_drawing_of_a_send_is_the_state_machine() -> None:
    text = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    drawing = text.partition("```mermaid")[2].partition("```")[0]
    edges = re.findall(r"^\s*(\w+) --> (\w+)$", drawing, re.MULTILINE)
    assert sorted(edges) == sorted((before.value, after.value) for before, after in TRANSITIONS)


def test_every_end_of_an_enrolment_is_documented() -> None:
    text = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    ends = set(
        re.findall(r"^\| `(\w+)` \|", text.partition("\n## States of an enrolment\n")[2], re.MULTILINE)
    )
    assert ends == {
        status.value
        for status in EnrolmentStatus
        if status not in {EnrolmentStatus.ACTIVE, EnrolmentStatus.PAUSED}
    }


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_relative_link_points_to_a_file_and_a_heading(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    for target in targets:
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        if re.fullmatch(r"reference/\w+\.md", path):
            continue  # generated when the site is built, which checks the link
        file = document.parent / path if path else document
        assert file.is_file(), f"{document.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{document.name} links to {target}"


def code_of(document: Path) -> str:
    """Return a document's code, from backquotes and fenced blocks, one piece a line."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    pieces = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks, *pieces])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", code_of(document), re.MULTILINE))
    assert named <= targets
    if document.name == "README.md":
        assert {"run", "test"} <= named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_command_that_is_named_exists_with_its_options(document: Path) -> None:
    for line in re.findall(r"^sequences ([^#\n]+)", code_of(document), re.MULTILINE):
        words = line.replace("…", "").split()
        command = typer.main.get_command(app)
        while (members := getattr(command, "commands", None)) and words:
            word = words.pop(0)
            assert word in members, f"{document.name} names `sequences {line.strip()}`"
            command = members[word]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_site_builds_without_a_warning_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    built = subprocess.run(
        [Path(sys.executable).parent / "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    commands = (tmp_path / "reference" / "commands.html").read_text(encoding="utf-8")
    for command in ("sequences sends list", "sequences plan", "sequences why"):
        assert command in commands
    for table in ("sends", "plan_deferrals"):
        assert f'id="{table}"' in (tmp_path / "reference" / "tables.html").read_text(encoding="utf-8")
    assert "sequence_step_id" in (tmp_path / "reference" / "messages.html").read_text(encoding="utf-8")
    for page in tmp_path.rglob("*.html"):
        fetched = re.findall(r'<(?:script|img)[^>]+src="(https?:)?//', page.read_text(encoding="utf-8"))
        fetched += re.findall(
            r'<link[^>]+rel="stylesheet"[^>]+href="(https?:)?//', page.read_text(encoding="utf-8")
        )
        assert not fetched, page


def test_every_failure_and_case_of_the_page_on_reliability_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    assert set(re.findall(r"`(test_\w+)`", text)) <= set(re.findall(r"def (test_\w+)", code))
    failures, _, catalogue = text.partition("\n## The catalogue\n")
    assert re.findall(r"^\| (F\d+) \|", failures, re.MULTILINE) == [f"F{number}" for number in range(1, 43)]
    cases = re.findall(r"^\| ([A-H])(\d+) \|", catalogue, re.MULTILINE)
    assert len(cases) == 130
    assert cases == sorted(set(cases), key=lambda case: (case[0], int(case[1])))
    for row in re.findall(r"^\| [A-H]\d+ \|.*$", text, re.MULTILINE):
        assert "`test_" in row or "none: `make soak`" in row, row
