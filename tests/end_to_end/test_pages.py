"""The pages that people look at, opened with a browser on a running stack: `make pictures` keeps what it saw."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page, expect

from local_stack.env_file import env_file_of, read_env_file
from local_stack.processes import wait_until
from tests.end_to_end import browsing
from tests.end_to_end.test_day import ROOT, SEQUENCES, UNTIL_TICK, count, enter_case

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        browsing.PICTURES is None, reason="make pictures opens the pages, on a stack of its own"
    ),
]


@dataclass(frozen=True)
class Stack:
    """A stack that runs in a project folder of its own, with the case of `enter_case`."""

    root: Path
    variables: dict[str, str]
    tick: datetime  # of the daily plan's schedule

    @property
    def dagster(self) -> str:
        return self.variables["DAGSTER_URL"]

    @property
    def day(self) -> str:
        return self.tick.date().isoformat()

    def day_before(self, days: int) -> str:
        return (self.tick.date() - timedelta(days=days)).isoformat()

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.variables["DATABASE_URL"], autocommit=True)

    def ask(self, graphql: str) -> dict[str, object]:
        request = urllib.request.Request(
            f"{self.dagster}/graphql",
            json.dumps({"query": graphql}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            data: dict[str, object] = json.load(answer)["data"]
        return data


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start the stack so that its schedule ticks soon; stop it afterwards."""
    root = tmp_path_factory.mktemp("project")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root / name)
    tick = (datetime.now(UTC) + UNTIL_TICK).replace(second=0, microsecond=0) + timedelta(minutes=1)
    settings = {"PLAN_AT": tick.strftime("%H:%M"), "PLAN_LEAD_SECONDS": "10"}
    try:
        subprocess.run(
            [SEQUENCES, "stack", "up", "--detach"],
            cwd=root,
            env=os.environ | settings,
            check=True,
            timeout=300,
        )
        started = Stack(root, read_env_file(env_file_of(root)), tick)
        with started.connect() as connection:
            enter_case(connection, tick)
            enter_crowd(connection, tick)
        yield started
    finally:
        subprocess.run([SEQUENCES, "stack", "down"], cwd=root, check=True, timeout=120)


@pytest.fixture(scope="module")
def page(stack: Stack) -> Iterator[Page]:
    """A browser's window, once today is planned."""
    if browsing.CHROMIUM is None:
        pytest.skip("There is no Chromium: apt-get install chromium, then the pages are tested, too.")
    with stack.connect() as connection:
        assert wait_until(lambda: count(connection, "true") > 0, 420)
    with browsing.browsing() as window:
        yield window


def test_ui_leads_from_the_tables_to_the_results(page: Page, stack: Stack) -> None:
    browsing.open_graph(page, stack.dagster)


def test_ui_shows_the_plan_with_its_charts(page: Page, stack: Stack) -> None:
    browsing.open_plan(page, stack.dagster, stack.day)


def test_ui_shows_the_checks(page: Page, stack: Stack) -> None:
    browsing.open_checks(page, stack.dagster)


def test_ui_replays_two_missed_days_and_changes_no_mail(page: Page, stack: Stack) -> None:
    rows = "SELECT contact_id, step_id, send_at FROM sends ORDER BY 1, 2"
    with stack.connect() as connection:
        before = connection.execute(rows).fetchall()
        browsing.launch_backfill(page, stack.dagster, stack.day_before(2), stack.day_before(1))
        made = '{ assetNodeOrError(assetKey: {path: ["send_plan"]}) { ... on AssetNode { partitionStats { numMaterialized } } } }'
        assert wait_until(lambda: '"numMaterialized": 3' in json.dumps(stack.ask(made)), 180)
        assert connection.execute(rows).fetchall() == before
    page.goto(f"{stack.dagster}/assets/send_plan?view=partitions&partition={stack.day_before(1)}")
    expect(browsing.row_of(page, "what_became_of_them")).to_be_visible()
    browsing.take_picture(page, "replayed")


def test_ui_switches_a_schedule_on(page: Page, stack: Stack) -> None:
    browsing.switch_on(page, stack.dagster, "top_up_schedule")


def test_ui_shows_why_a_sensor_skipped(page: Page, stack: Stack) -> None:
    browsing.open_ticks(page, stack.dagster, "timed_dispatch_sensor")


def test_api_and_mail_sink_have_their_pages(page: Page, stack: Stack) -> None:
    browsing.open_api(page, stack.variables["API_URL"])
    browsing.open_mails(page, stack.variables["MAIL_SINK_URL"], "Hi")


def questions() -> list[tuple[str, str, str]]:
    """Return the tutorial's questions with the path to each answer, and a word that the answer has."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (.+\?) \| `(.+?)` \| `(.+?)`.* \|$", text, re.MULTILINE)


def test_ten_questions_of_an_operator_are_answered_where_the_tutorial_says(page: Page, stack: Stack) -> None:
    asked = questions()
    assert len(asked) == 10
    for question, path, answer in asked:
        if path.startswith("sequences "):
            command = [SEQUENCES, *shlex.split(path)[1:]]
            told = subprocess.run(
                command, cwd=stack.root, capture_output=True, text=True, timeout=60, check=False
            )
            assert answer in told.stdout + told.stderr, question
        else:
            page.goto(stack.dagster + path.replace("DAY", stack.day))
            expect(page.get_by_text(answer).first, question).to_be_visible()


def enter_crowd(connection: psycopg.Connection[tuple[object, ...]], tick: datetime) -> None:
    """Enter a sequence that mails all day, and more contacts than its four mailboxes can mail."""
    connection.execute("INSERT INTO sequences (id, sequence_name) VALUES (2, 'News')")
    connection.execute(
        "INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content) VALUES (2, 1, 'News', 'Hello')"
    )
    connection.execute(
        "INSERT INTO mailboxes (id, address, send_limit, send_start_time, send_end_time) "
        "SELECT n, format('box%s@sender.example', n), 10 * n, '00:00', '00:00' FROM generate_series(2, 5) n"
    )
    connection.execute("INSERT INTO sequences_mailboxes SELECT 2, n FROM generate_series(2, 5) n")
    connection.execute(
        "INSERT INTO contacts (id, name, mail_address) "
        "SELECT n, 'Eve', format('eve%s@people.example', n) FROM generate_series(101, 260) n"
    )
    connection.execute(
        "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) "
        "SELECT 2, n, %s - mod(n, 3) FROM generate_series(101, 260) n",
        (tick.date(),),
    )
