"""Tests that each asset links to its source: a file in a clone, a page of GitHub or GitLab if it is named."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster import LocalFileCodeReference, UrlCodeReference

from sequence_pipelines.assets import send_plan
from sequence_pipelines.definitions import asset_modules
from sequence_pipelines.reporting.code_references import with_code_references
from sequence_store.errors import SettingsError
from sequence_store.settings import PartitionSettings, SourceTree, read_settings

ROOT = Path(__file__).parents[2]
COMPUTED = dg.load_assets_from_modules(asset_modules)


def references(url: str | None) -> dict[str, list[LocalFileCodeReference | UrlCodeReference]]:
    tree = SourceTree.of(url) if url else None
    found = {}
    for asset in with_code_references(COMPUTED, tree):
        assert isinstance(asset, dg.AssetsDefinition)
        for key, metadata in asset.metadata_by_key.items():
            value = metadata.get("dagster/code_references")
            found[key.to_user_string()] = list(value.code_references) if value else []
    return found


def test_asset_of_a_clone_links_to_the_function_in_its_file() -> None:
    found = references(None)
    assert set(found) >= {"due_contacts", "send_plan", "timed_messages", "delivery_results", "sending_health"}
    assert all(len(given) == 1 for given in found.values())
    (reference,) = found["send_plan"]
    assert isinstance(reference, LocalFileCodeReference)
    assert Path(reference.file_path) == Path(send_plan.__file__)
    shown = Path(reference.file_path).read_text().splitlines()[(reference.line_number or 0) - 1 :]
    assert any(line.startswith("def send_plan(") for line in shown[:60])


@pytest.mark.parametrize(
    "tree",
    [
        "https://github.com/team/sequences/tree/v1.2",
        "https://gitlab.example.com/group/sub/sequences/-/tree/main",
        "https://git.example.com/team/sequences/tree/feature/x",
    ],
)
def test_asset_links_to_the_page_of_its_function_if_the_source_tree_is_named(tree: str) -> None:
    for name, given in references(tree + "/").items():
        (reference,) = given
        assert isinstance(reference, UrlCodeReference)
        page, _, line = reference.url.partition("#L")
        assert page.startswith(f"{tree}/sequence_pipelines/assets/"), name
        assert (ROOT / page.removeprefix(f"{tree}/")).is_file()
        assert int(line) > 0


def test_deployment_without_a_source_tree_has_no_links_to_the_files_of_its_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEQUENCE_DEPLOYMENT", "kubernetes")
    assert not any(references(None).values())
    assert all(references("https://github.com/team/sequences/tree/main").values())


@pytest.mark.parametrize(
    "url",
    [
        "github.com/team/x/tree/main",
        "https://github.com/team/x",
        "https://github.com/tree/",
        "ftp://x/tree/y",
    ],
)
def test_url_that_names_no_source_tree_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SOURCE_URL", url)
    with pytest.raises(SettingsError, match=r"SOURCE_URL: .*must be the page of the source tree"):
        read_settings(PartitionSettings)


def test_empty_source_url_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_URL", "")
    assert read_settings(PartitionSettings).source_tree is None
