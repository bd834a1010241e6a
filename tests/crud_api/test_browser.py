"""Tests in a browser what the Dagster UI links to: a mailbox of the API, and the runbook."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest
from typer.testing import CliRunner

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import launch, wait_ready
from sequence_cli.main import app as cli
from sequence_pipelines.reporting.mailbox_states import mailbox_states_page
from sequence_pipelines.reporting.metadata import links
from sequence_store.settings import PipelineSettings
from tests.conftest import Database, MakeSettings
from tests.crud_api.conftest import MAILBOX
from tests.end_to_end import browsing

pytestmark = pytest.mark.skipif(
    browsing.CHROMIUM is None, reason="Chromium is missing: apt-get install chromium"
)


@pytest.fixture
def settings(database: Database, make_settings: MakeSettings, tmp_path: Path) -> Iterator[PipelineSettings]:
    """Start an API that requires keys; yield the settings of a pipeline that links to it."""
    port, log = free_port(), tmp_path / "api.log"
    program = str(Path(sys.executable).parent / "sequences")
    environment = {"API_DATABASE_URL": database.api, "API_PORT": str(port), "API_AUTH": "on"}
    process = launch([program, "api"], log=log, environment=environment)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=30)
        yield make_settings(api_url=f"http://{LOOPBACK}:{port}").pipeline
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ({"api_url": "http://sequence-api:8000/"}, "http://sequence-api:8000"),
        (
            {"api_url": "http://sequence-api:8000", "api_browser_url": "https://api.example/"},
            "https://api.example",
        ),
    ],
)
def test_links_lead_to_where_a_browser_reaches_the_api(
    make_settings: MakeSettings, given: dict[str, str], base: str
) -> None:
    shown = links(make_settings(**given).pipeline, "dead-letters")
    assert shown["api"].value == f"{base}/docs"
    assert shown["runbook"].value == f"{base}/docs/pages/runbook.md#dead-letters"


def make_key(database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    made = CliRunner().invoke(cli, ["keys", "create", "an operator"])
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


def test_link_of_a_mailbox_asks_for_the_key_and_shows_the_mailbox(
    settings: PipelineSettings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(database, monkeypatch)
    created = httpx.post(
        f"{settings.api_url}/mailboxes",
        json={"address": "box@example.com"} | MAILBOX,
        headers={"Authorization": f"Bearer {key}"},
    ).json()
    state = {"external_id": created["id"], "domain": "example.com", "state": "open", "reason": ""}
    states = pd.DataFrame([state | {"until": pd.NaT, "used": 0, "capacity": 50}])
    link = (mailbox_states_page(states, settings).value or "").partition("](")[2].partition(")")[0]
    with browsing.browsing() as page:
        assert page.context.browser
        typed = page.context.browser.new_context(http_credentials={"username": "me", "password": key})
        opened = typed.new_page().goto(link)
        assert opened
        assert (opened.status, opened.json()["id"]) == (200, created["id"])
        wrong = page.context.browser.new_context(http_credentials={"username": "me", "password": "wrong"})
        refused = wrong.new_page().goto(link)
        assert refused
        assert refused.status == 401


def test_link_to_the_runbook_leads_to_its_section_without_a_setting(settings: PipelineSettings) -> None:
    url = links(settings, "what-waits-and-why")["runbook"].value
    with browsing.browsing() as page:
        page.set_viewport_size({"width": 420, "height": 800})
        page.goto(str(url))
        heading = page.get_by_role("heading", name="What waits, and why?")
        box = heading.bounding_box()
        assert box
        assert 0 <= box["y"] < 300, "the page is scrolled to the section"
        assert page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")
        page.get_by_role("link", name="parked mailbox").first.click()
        assert page.url.endswith("#a-mailbox-is-parked")
