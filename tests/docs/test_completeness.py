"""What the documentation names is there, and what is there is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sequence_store import settings
from sequence_store.states import TRANSITIONS, SendStatus

ROOT = Path(__file__).parents[2]
KINDS = (settings.OwnerSettings, settings.PipelineSettings, settings.ApiSettings, settings.WorkerSettings)
NAMES = {name.upper() for kind in KINDS for name in kind.model_fields}


def test_every_setting_is_documented_and_nothing_else() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    listed = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert documented == NAMES
    assert listed == NAMES


def test_every_transition_is_in_the_table_of_states() -> None:
    known = set(SendStatus)
    edges = set()
    for line in (ROOT / "docs/states.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3:
            tails, heads = cells[0].split(", "), cells[1].split(", ")
            edges |= {(a, b) for a in tails for b in heads if a in known and b in known}
    assert edges == set(TRANSITIONS)


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target
