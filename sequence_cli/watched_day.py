"""Starts everything, plans today through Dagster, and watches it being mailed."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from local_stack import stack
from local_stack.env_file import env_file_of, read_env_file
from sequence_cli.sample_loader import load_samples
from sequence_store.database import connect
from sequence_store.errors import StoreError
from sequence_store.settings import OwnerSettings, read_settings

LEAST_REST = timedelta(minutes=3)  # a plan made nearer to the next planning day finds no time to use
GIVE_UP_SECONDS = 720
FIRST_MAILS = 3
PROMPT_SECONDS = 2.0
ENDED = ("SUCCESS", "FAILURE", "CANCELED")

LAUNCH = """mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"

console = Console()


def run(*, once: bool) -> bool:
    """Go through the day until Ctrl-C, or with `once` until the first mails have advanced; return whether all held."""
    stack.up_detached(Path.cwd())
    os.environ.update(read_env_file(env_file_of(Path.cwd())))
    try:
        settings = read_settings(OwnerSettings)
        load_samples(settings)
        _wait_for_a_day_with_time(settings)
        _materialize_today(settings)
        with connect(settings.database_url, name="sequences day", autocommit=True) as connection:
            _show_plan(connection)
            passed = _watch(connection, once=once)
    except KeyboardInterrupt:
        passed = True
    finally:
        stack.down(Path.cwd())
    return passed


def _wait_for_a_day_with_time(settings: OwnerSettings) -> None:
    now = datetime.now(UTC)
    ends = settings.calendar.end_of(settings.calendar.day_of(now))
    if ends - now < LEAST_REST:
        console.print(f"This planning day ends in {(ends - now).seconds} s; the plan waits for the next one.")
        time.sleep((ends - now).total_seconds() + 1)


def _materialize_today(settings: OwnerSettings) -> None:
    """Run the job daily_plan for today's partition; raise StoreError if it fails."""
    today = settings.calendar.day_of(datetime.now(UTC)).isoformat()
    console.print(f"Planning {today} through Dagster …")
    selector = {
        "repositoryLocationName": "sequence_pipelines",
        "repositoryName": "__repository__",
        "jobName": "daily_plan",
    }
    tags = [{"key": "dagster/partition", "value": today}]
    params = {
        "selector": selector,
        "runConfigData": {},
        "mode": "default",
        "executionMetadata": {"tags": tags},
    }
    launched = _ask(LAUNCH, {"params": params})["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        raise StoreError(f"Dagster did not start the plan: {launched.get('message', launched['__typename'])}")
    run = launched["run"]["runId"]
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while (status := _ask(STATUS, {"run": run})["runOrError"]["status"]) not in ENDED:
        if time.monotonic() > deadline:
            raise StoreError(f"The plan did not end: {os.environ['DAGSTER_URL']}/runs/{run}")
        time.sleep(1)
    if status != "SUCCESS":
        raise StoreError(f"The plan ended as {status}: {os.environ['DAGSTER_URL']}/runs/{run}")


def _ask(query: str, variables: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(
        f"{os.environ['DAGSTER_URL']}/graphql", json={"query": query, "variables": variables}, timeout=30
    ).json()
    if "errors" in answer:
        raise StoreError(f"Dagster refused: {answer['errors'][0]['message']}")
    return dict(answer["data"])


def _show_plan(connection: Any) -> None:
    placed = connection.execute(
        "SELECT count(*) FROM sends WHERE status NOT IN ('cancelled', 'expired')"
    ).fetchone()
    waiting = connection.execute(
        "SELECT reason, count(*) FROM plan_deferrals GROUP BY 1 ORDER BY 2 DESC"
    ).fetchall()
    _table("Today", ("", "contacts"), [("have a place", placed[0]), *[(f"wait: {r}", n) for r, n in waiting]])
    _table(
        "Mailboxes, the fullest first",
        ("mailbox", "limit", "planned"),
        connection.execute(
            "SELECT m.address, m.send_limit, count(*) FROM sends s JOIN mailboxes m ON m.id = s.mailbox_id "
            "WHERE s.status NOT IN ('cancelled', 'expired') GROUP BY m.id ORDER BY 3 DESC, 1 LIMIT 10"
        ).fetchall(),
    )
    _table(
        "Next sends",
        ("at (UTC)", "sequence", "step", "mailbox"),
        connection.execute(
            "SELECT to_char(s.send_at, 'HH24:MI:SS'), q.sequence_name, st.step_number, m.address FROM sends s "
            "JOIN sequences q ON q.id = s.sequence_id JOIN steps st ON st.id = s.step_id "
            "JOIN mailboxes m ON m.id = s.mailbox_id WHERE s.status IN ('planned', 'dispatched') "
            "ORDER BY s.send_at LIMIT 8"
        ).fetchall(),
    )
    for name in ("DAGSTER_URL", "API_URL", "MAIL_SINK_URL"):
        console.print(f"  {name.removesuffix('_URL').replace('_', ' ').title():10} {os.environ[name]}")


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)


def _watch(connection: Any, *, once: bool) -> bool:
    """Show progress until Ctrl-C; with `once` until the first mails have advanced, and say whether all is right."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    shown = None
    while True:
        counts = connection.execute(
            "SELECT count(*) FILTER (WHERE status = 'planned'), count(*) FILTER (WHERE status = 'dispatched'), "
            "count(*) FILTER (WHERE status = 'sent'), count(*) FILTER (WHERE advanced_at IS NOT NULL) FROM sends"
        ).fetchone()
        if counts != shown:
            console.print("  planned {}, dispatched {}, sent {}, advanced {}".format(*counts))
            shown = counts
        if once and counts[2] >= FIRST_MAILS and counts[3] >= FIRST_MAILS:
            return _verdict(connection)
        if once and time.monotonic() > deadline:
            console.print(f"No {FIRST_MAILS} mails advanced in {GIVE_UP_SECONDS} s; look into .local/logs/.")
            return False
        time.sleep(1)


def _verdict(connection: Any) -> bool:
    """Compare what the sink accepted with what the plan promised; say what is wrong."""
    mails = httpx.get(
        f"{os.environ['MAIL_SINK_URL']}/api/messages", params={"limit": 1000}, timeout=30
    ).json()
    faults = []
    sent = connection.execute(
        "SELECT c.mail_address, m.address, s.send_at, s.advanced_at IS NOT NULL, e.status, e.current_step, "
        "st.step_number, e.next_send FROM sends s JOIN contacts c ON c.id = s.contact_id "
        "JOIN mailboxes m ON m.id = s.mailbox_id JOIN steps st ON st.id = s.step_id "
        "JOIN sequences_contacts e ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id "
        "WHERE s.status = 'sent'"
    ).fetchall()
    for contact, mailbox, send_at, advanced, status, current, number, next_send in sent:
        accepted = [mail for mail in mails if mail["rcpt_to"] == [contact]]
        late = [(datetime.fromisoformat(mail["accepted_at"]) - send_at).total_seconds() for mail in accepted]
        if len(accepted) != 1 or accepted[0]["mail_from"] != mailbox:
            faults.append(f"{len(accepted)} mails to {contact}, promised one from {mailbox}")
        elif not 0 <= late[0] <= PROMPT_SECONDS:
            faults.append(f"a mail left {late[0]:.1f} s after its second")
        if advanced and status != "completed" and (current <= number or next_send is None):
            faults.append(f"{contact} has not advanced past step {number}")
    for fault in faults:
        console.print(f"  wrong: {fault}")
    console.print(
        f"{len(sent)} mails as promised: each once, from its mailbox, within {PROMPT_SECONDS:.0f} s, advanced."
        if not faults
        else f"{len(faults)} promises broken."
    )
    return not faults
