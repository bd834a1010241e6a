"""Tests a day with Dagster's daemon, schedule and sensors, and the web pages in a browser.

No test calls a function of the pipeline. `make pictures` saves the screenshots.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import yaml
from playwright.sync_api import Page, expect

from local_stack.processes import wait_until
from sequence_cli.dagster_runs import DagsterRuns
from tests.end_to_end import browsing
from tests.end_to_end.running_stack import CASE, DEAD_PROXIES, ROOT, SEQUENCES, Stack, count, running_stack

ROWS = "SELECT contact_id, step_id, send_at FROM sends ORDER BY 1, 2"
pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack in a folder that has spaces, quotes, an umlaut and a percent sign in its path."""
    with running_stack(tmp_path_factory.mktemp('it\'s "my" stäck 100%')) as stack:
        yield stack


@pytest.fixture(scope="module")
def page(stack: Stack) -> Iterator[Page]:
    """A browser page, opened once today is planned."""
    if browsing.CHROMIUM is None:
        pytest.skip("Chromium is missing; the pages are not tested. Install it: apt-get install chromium")
    assert wait_until(lambda: stack.planned_runs() > 0, 420)
    with browsing.browsing() as window:
        yield window


def test_ui_leads_from_the_tables_to_the_results(page: Page, stack: Stack) -> None:
    assert page.context.browser
    browsing.open_graph(stack.dagster, page.context.browser)


def test_ui_shows_the_plan_with_its_charts(page: Page, stack: Stack) -> None:
    browsing.open_plan(page, stack.dagster, stack.day)


def test_ui_shows_the_checks(page: Page, stack: Stack) -> None:
    browsing.open_checks(page, stack.dagster)


def test_the_schedules_tick_mails_due_contacts_and_advances_them(stack: Stack) -> None:
    done = "sequence_id = 1 AND status = 'sent' AND advanced_at IS NOT NULL"
    with stack.connect() as connection:
        assert wait_until(lambda: count(connection, done) == CASE, 420), connection.execute(
            "SELECT status, reason, count(*) FROM sends GROUP BY 1, 2"
        ).fetchall()
        sent = connection.execute(
            "SELECT c.mail_address, s.send_at FROM sends s JOIN contacts c ON c.id = s.contact_id "
            "WHERE sequence_id = 1"
        ).fetchall()
        enrolments = connection.execute(
            "SELECT DISTINCT status, current_step, next_send - last_send, last_send FROM sequences_contacts "
            "WHERE sequence_id = 1"
        ).fetchall()
    assert enrolments == [("active", 2, 3, stack.tick.date())]
    with urllib.request.urlopen(f"{stack.variables['MAIL_SINK_URL']}/api/messages", timeout=20) as answer:
        mails = [mail for mail in json.load(answer) if mail["mail_from"] == "ann@sender.example"]
    accepted = {mail["rcpt_to"][0]: mail for mail in mails}
    assert len(mails) == len(accepted) == CASE
    for address, send_at in sent:
        late = datetime.fromisoformat(accepted[str(address)]["accepted_at"]) - send_at
        assert timedelta(0) <= late <= timedelta(seconds=2)


@pytest.fixture(scope="module")
def rows_before(page: Page, stack: Stack) -> list[tuple[object, ...]]:
    """Launch a backfill of two missed days; return the rows of sends before it."""
    with stack.connect() as connection:
        before = connection.execute(ROWS).fetchall()
    browsing.launch_backfill(page, stack.dagster, stack.day_before(2), stack.day_before(1))
    return before


def test_ui_launches_a_backfill_of_two_missed_days(rows_before: list[tuple[object, ...]]) -> None:
    assert rows_before  # the backfill runs during the next tests


def test_ui_shows_what_became_of_a_missed_day_and_no_mail_has_changed(
    page: Page, stack: Stack, rows_before: list[tuple[object, ...]]
) -> None:
    assert wait_until(lambda: stack.planned_runs() == 3, 180)
    with stack.connect() as connection:
        assert connection.execute(ROWS).fetchall() == rows_before
    browsing.open_replayed(page, stack.dagster, stack.day_before(1))


def test_ui_switches_a_schedule_on(page: Page, stack: Stack) -> None:
    browsing.switch_on(page, stack.dagster, "top_up_schedule")


def test_ui_shows_why_a_sensor_skipped(page: Page, stack: Stack) -> None:
    browsing.open_ticks(page, stack.dagster, "timed_dispatch_sensor")


def test_api_and_mail_sink_have_their_pages(page: Page, stack: Stack) -> None:
    browsing.open_api(page, stack.variables["API_URL"])
    browsing.open_mails(page, stack.variables["MAIL_SINK_URL"], "Hi")


def questions() -> list[tuple[str, str, str]]:
    """Return the tutorial's questions, each with the path or command and a text of its answer."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (.+\?) \| `(.+?)` \| `(.+?)`.* \|$", text, re.MULTILINE)


def test_the_tutorials_ten_questions_are_answered_where_it_says(page: Page, stack: Stack) -> None:
    asked = questions()
    assert len(asked) == 10
    for question, path, answer in asked:
        if path.startswith("sequences "):
            command = [SEQUENCES, *shlex.split(path)[1:]]
            done = subprocess.run(
                command,
                cwd=stack.root,
                env=os.environ | DEAD_PROXIES,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert answer in done.stdout + done.stderr, question
        else:
            page.goto(stack.dagster + path.replace("DAY", stack.day))
            expect(page.get_by_text(answer).first, question).to_be_visible()


HOW_TO = (ROOT / "docs" / "how-to" / "index.md").read_text(encoding="utf-8")
LAUNCH_FROM_THE_ASSETS_PAGE = """mutation M($params: ExecutionParams!) {
    launchPipelineExecution(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } }
        ... on PythonError { message } } }"""
# These exit with another status if a person must act, or because they refuse on purpose.
MAY_REFUSE = ("status", "mailbox check", "restore-guard")
SERVERS = ("metrics",)  # tests/observability starts it


def how_to_commands(stack: Stack) -> list[str]:
    """Return the commands of the how-to page, with the addresses, keys and sends of the stack."""
    lines = [
        line for block in re.findall(r"```sh\n(.*?)```", HOW_TO, re.DOTALL) for line in block.splitlines()
    ]
    commands = [line.partition("#")[0].strip() for line in lines if line.startswith("sequences ")]
    with stack.connect() as connection:
        unknown = connection.execute(
            "UPDATE sends SET status = 'unknown', transmitting_at = now(), finished_at = now() "
            "WHERE (sequence_id, contact_id) IN (SELECT sequence_id, contact_id FROM sends "
            "WHERE sequence_id = 2 AND status = 'planned' ORDER BY contact_id DESC LIMIT 2) "
            "RETURNING contact_id, step_id, round"
        ).fetchall()
    names = {"ann@example.com": "bob1@people.example", "box@example.com": "box2@sender.example"}
    names |= {
        example: " ".join(map(str, row)) for example, row in zip(("2 3 1", "2 4 1"), unknown, strict=True)
    }
    names["revoke 3"] = "revoke 1"
    pattern = re.compile("|".join(map(re.escape, names)))
    return [pattern.sub(lambda found: names[found[0]], command) for command in commands]


def test_the_commands_of_the_how_to_page_do_what_it_says(stack: Stack) -> None:
    assert wait_until(lambda: stack.planned_runs() > 0, 420)
    commands = how_to_commands(stack)
    assert len(commands) > 15
    answers = {}
    for command in commands:
        arguments = shlex.split(command)[1:]
        if arguments[0] in SERVERS:
            continue
        done = subprocess.run(
            [SEQUENCES, *arguments], cwd=stack.root, capture_output=True, text=True, timeout=120, check=False
        )
        refuses = " ".join(arguments).startswith(MAY_REFUSE)
        assert done.returncode == 0 or refuses, (command, done.stdout, done.stderr)
        assert "Usage:" not in done.stderr, command
        assert "Traceback" not in done.stderr, command
        answers[command] = done.stdout + done.stderr
    assert "billing" in answers["sequences keys list"]
    assert (
        "Stop these programs"
        in answers["sequences restore-guard --since 2026-06-15T04:00:00+00:00 --dry-run"]
    )
    with stack.connect() as connection:
        resolved = connection.execute("SELECT status FROM sends WHERE reason = 'resolved'").fetchall()
        assert count(connection, "status = 'unknown'") == 0, resolved


def test_the_forecast_of_the_how_to_page_runs_with_its_scenario(stack: Stack) -> None:
    (scenario,) = re.findall(r"```yaml\n(.*?)```", HOW_TO, re.DOTALL)
    runs = DagsterRuns(stack.dagster)
    selector = {
        "repositoryLocationName": "sequence_pipelines",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": ["send_forecast"]}],
    }
    params = {"selector": selector, "mode": "default", "runConfigData": yaml.safe_load(scenario)}
    launched = runs._query(LAUNCH_FROM_THE_ASSETS_PAGE, params=params)["launchPipelineExecution"]
    list(runs.follow(launched["run"]["runId"], seconds=180))
