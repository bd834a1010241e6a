"""Tests the pages of docs/ that the API serves: every link and anchor, as a browser follows them."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest

from crud_api.manual.pages import page_names
from tests.crud_api.conftest import Api

ROOT = Path(__file__).parents[2]
HREF = re.compile(r'<a href="([^"]+)"')
START = "http://api/docs/pages/index"


def test_every_page_is_served_and_every_link_between_pages_leads_to_a_heading(api: Api) -> None:
    assert set(page_names()) == {
        str(file.relative_to(ROOT / "docs").with_suffix("")) for file in (ROOT / "docs").rglob("*.md")
    }
    texts = {f"http://api/docs/pages/{name}": api.get(f"/docs/pages/{name}") for name in page_names()}
    followed = 0
    for url, page in texts.items():
        assert page.status_code == 200
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        for link in HREF.findall(page.text):
            target, anchor = urldefrag(urljoin(url, unescape(link)))
            if not target.startswith("http://api/"):
                assert target.startswith(("http://", "https://")), (url, link)
                continue
            followed += 1
            assert target in texts, (url, link)
            assert not anchor or f'id="{anchor}"' in texts[target].text, (url, link)
    assert followed > 50


def test_runbook_answers_the_questions_that_the_dagster_ui_links_to(api: Api) -> None:
    asked = {
        anchor
        for file in (ROOT / "sequence_pipelines").rglob("*.py")
        for anchor in re.findall(r'links\([^()]+, "([^"]+)"\)', file.read_text())
    }
    assert len(asked) > 3
    page = api.get("/docs/pages/runbook").text
    assert {anchor for anchor in asked if f'id="{anchor}"' not in page} == set()
    assert "<table>" in page
    assert "](" not in re.sub(r"<code>.*?</code>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("path", ["/docs/pages", "/docs/pages/"])
def test_start_leads_to_the_list_of_pages(api: Api, path: str) -> None:
    answered = api.get(path, follow_redirects=True)
    assert answered.status_code == 200
    assert "how-to/index" in answered.text


@pytest.mark.parametrize(
    "name", ["nothing", "../README", "..%2f..%2fREADME", "%2e%2e/pyproject.toml", "pictures/plan.png"]
)
def test_other_files_are_not_served(api: Api, name: str) -> None:
    answered = api.get(f"/docs/pages/{name}")
    assert answered.status_code == 404
    assert answered.json()["message"]


def test_page_runs_no_script_and_is_not_changed_by_its_url(api: Api) -> None:
    page = api.get("/docs/pages/runbook")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text
    assert api.get("/docs/pages/runbook.md").text == page.text


def test_post_to_a_page_is_refused(api: Api) -> None:
    refused = api.post("/docs/pages/runbook", {})
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_head_of_a_page_has_no_body(api: Api) -> None:
    answered = api.request("HEAD", "/docs/pages/runbook")
    assert (answered.status_code, answered.content) == (200, b"")


def test_pages_do_not_hide_the_documentation_of_the_operations(api: Api) -> None:
    assert "swagger" in api.get("/docs").text
    assert api.get("/docs/pagesX").status_code == 404
