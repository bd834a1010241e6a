"""Tests of plan, forecast, sends, why, status and metrics on a real database and real queues."""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from local_stack.ports import answers, free_port
from local_stack.processes import end, launch, wait_ready
from sequence_cli import system_state
from sequence_cli.main import app
from sequence_cli.status import advise, duration
from sequence_cli.system_state import Late, Orchestration, SystemState, missed_days, read_ledger_status
from sequence_pipelines.planning import scenario as what_if
from sequence_store.settings import ObserverSettings, PipelineSettings, read_settings
from tests.pipelines.conftest import World

RUNNER = CliRunner()


def output(*arguments: str, status: int = 0) -> str:
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    return result.stdout


def test_dry_run_shows_the_plan_and_writes_no_row_and_the_plan_writes_the_same(world: World) -> None:
    before = world.ledger()
    document = json.loads(output("plan", "--dry-run", "--json"))
    assert (document["planned"], document["waiting"], document["written"]) == (2, {"no_capacity": 1}, False)
    assert world.ledger() == before
    assert "Would plan 2 mails" in output("plan", "--dry-run")
    made = json.loads(output("plan", "--json"))
    assert made["mailboxes"] == [{"address": "box@sender.example", "planned": 2}]
    assert len(world.rows("status = 'planned'")) == 2


def test_explained_plan_names_the_full_mailbox_and_the_bound(world: World) -> None:
    assert "held_back" not in json.loads(output("plan", "--dry-run", "--json"))
    (first_mails,) = json.loads(output("plan", "--dry-run", "--explain", "--json"))["held_back"]
    assert first_mails["class"].startswith("first mails of priority")
    assert (first_mails["waiting"], first_mails["served"], first_mails["at_most"]) == (1, 2, 2)
    assert {place["address"] for place in first_mails["full"]} == {"box@sender.example"}
    shown = output("plan", "--explain")
    assert "no plan serves more than 2" in shown
    assert "full: box@sender.example on " in shown


def test_plan_rejects_every_day_but_today_and_names_the_command_to_use(world: World) -> None:
    today = read_settings(PipelineSettings).calendar.day_of(datetime.now(UTC))
    for arguments in ([], ["--dry-run"]):
        past = RUNNER.invoke(app, ["plan", "2026-01-02", *arguments])
        assert (past.exit_code, "is in the past" in past.output) == (2, True)
        future = RUNNER.invoke(app, ["plan", str(today + timedelta(days=3)), *arguments])
        assert (future.exit_code, "`sequences forecast --days 4`" in future.output) == (2, True)
        assert "--days 365`" in RUNNER.invoke(app, ["plan", "2999-01-02", *arguments]).output
    assert world.rows() == []
    assert "Would plan 2 mails" in output("plan", str(today), "--dry-run")


@pytest.mark.parametrize(
    ("option", "most"),
    [
        ("--days", what_if.MOST_DAYS),
        ("--add-mailboxes", what_if.MOST_ADDED),
        ("--limit", what_if.MOST_MAILS),
        ("--max-first-mails", what_if.MOST_MAILS),
    ],
)
def test_forecast_rejects_numbers_above_the_maximum(option: str, most: int) -> None:
    for number in (most + 1, 10**20):
        rejected = RUNNER.invoke(app, ["forecast", option, str(number)])
        assert rejected.exit_code == 2
        assert f"less than or equal to {most}" in rejected.output


def test_forecast_plans_with_the_largest_numbers(world: World) -> None:
    most = str(what_if.MOST_MAILS)
    document = json.loads(
        output("forecast", "--days", "2", "--limit", most, "--max-first-mails", most, "--json")
    )
    assert document["days"][0]["planned"] == 3
    added = json.loads(
        output("forecast", "--days", "2", "--add-mailboxes", "1000", "--limit", most, "--json")
    )
    assert added["days"][0]["planned"] == 3


def test_forecast_splits_waiting_contacts_by_reason(world: World) -> None:
    world.run("UPDATE contacts SET is_active = false WHERE mail_address = 'c0@people.example'")
    world.run("UPDATE mailboxes SET send_limit = 1")
    (day,) = json.loads(output("forecast", "--days", "1", "--json"))["days"]
    assert (day["wait_for_room"], day["wait_otherwise"], day["not_to_be_mailed"]) == (1, 0, 1)
    shown = output("forecast", "--days", "1")
    assert "to be" in shown
    assert "other-" not in shown  # a column of zeros is not shown


def test_forecast_shows_mails_that_are_already_planned_today(world: World) -> None:
    assert "already" not in output("forecast", "--days", "1")
    output("plan")
    document = json.loads(output("forecast", "--days", "2", "--json"))
    assert [day["already_planned"] for day in document["days"]] == [2, 0]
    shown = output("forecast", "--days", "1")
    assert "already" in shown
    assert "box@sender.example" not in shown  # a new plan would add nothing to it


def test_sends_are_listed_by_filters_and_in_pages_without_gap_or_repeat(world: World) -> None:
    output("plan")
    world.run(
        "UPDATE sends SET status = 'cancelled', reason = 'limit_reached' "
        "WHERE contact_id = (SELECT min(contact_id) FROM sends)"
    )
    first = json.loads(output("sends", "list", "--json", "--limit", "1"))
    second = json.loads(output("sends", "list", "--json", "--limit", "1", "--after", first["next"]))
    assert second["next"] is None
    assert {s["contact_id"] for s in first["sends"] + second["sends"]} == {
        r["contact_id"] for r in world.rows()
    }
    for arguments, count in (
        (("--status", "planned"), 1),
        (("--status", "planned", "--status", "cancelled"), 2),
        (("--reason", "limit_reached"), 1),
        (("--mailbox", "BOX@sender.example"), 2),
        (("--mailbox", "other@sender.example"), 0),
        (("--sequence", "spring"), 2),
        (("--day", str(world.rows()[0]["plan_day"])), 2),
        (("--day", "2026-01-02"), 0),
    ):
        assert len(json.loads(output("sends", "list", "--json", *arguments))["sends"]) == count, arguments
    assert "\tcancelled\t" in output("sends", "list")
    output("sends", "list", "--after", "nonsense", status=2)


def test_why_tells_what_comes_next_and_why_not_today(world: World) -> None:
    output("plan")
    waiting = world.one("SELECT mail_address FROM contacts JOIN plan_deferrals ON contact_id = id")
    planned = world.one("SELECT mail_address FROM contacts JOIN sends ON contact_id = id LIMIT 1")
    assert "no_capacity: Every mailbox of the sequence is full" in output("why", waiting).replace("\n", " ")
    assert "step 1 will be sent at" in output("why", planned.upper())
    world.finish()
    world.run("UPDATE sequences_contacts SET status = 'paused', status_reason = 'template'")
    document = json.loads(output("why", planned, "--json"))
    assert document["enrolments"][0]["verdict"].startswith("step 1 has ended (sent)")
    assert [send["status"] for send in document["sends"]] == ["sent"]
    assert "paused (template)" in output("why", waiting)


def test_why_tells_of_suppression_of_an_unknown_outcome_and_of_nobody(world: World) -> None:
    world.run(
        "INSERT INTO suppressions (address_hmac, reason) "
        "VALUES (address_hmac('c0@people.example', %s), 'complaint')",
        world.settings.address_pads,
    )
    assert "suppressed: complaint" in output("why", "c0@people.example").replace("\n", " ")
    output("plan")
    world.finish("unknown")
    assert "sequences sends resolve" in output("why", "c1@people.example")
    assert "No contact has the address" in RUNNER.invoke(app, ["why", "nobody@people.example"]).output


def test_tables_on_a_narrow_terminal_truncate_nothing(world: World) -> None:
    world.run("UPDATE mailboxes SET address = 'somebody.with.a.long.name@a-subdomain.sender.example'")
    world.run(
        "UPDATE sequences SET sequence_name = 'Everybody who asked for the autumn brochure at the fair'"
    )
    forecast = output("forecast", "--days", "2")
    assert "100% " + "█" * 20 in forecast
    output("plan")
    address = world.one("SELECT mail_address FROM contacts JOIN sends ON contact_id = id LIMIT 1")
    world.run("UPDATE sends SET status = 'cancelled', reason = 'limit_lowered'")
    mails = output("why", address)
    assert "…" not in forecast + mails
    for whole in ("cancelled", "limit_lowered"):
        assert whole in mails


def test_why_says_that_a_follow_up_waits_for_its_own_mailbox_while_another_is_open(world: World) -> None:
    another_day = (datetime.now(UTC) + timedelta(days=3)).isoweekday()
    world.run("UPDATE mailboxes SET send_days = %s", [another_day])
    closed = world.one("SELECT id FROM mailboxes")
    sequence = world.one("SELECT id FROM sequences")
    open_box = world.mailbox(send_start_time="00:00", send_end_time="24:00")
    world.run("INSERT INTO sequences_mailboxes VALUES (%s, %s)", sequence, open_box)
    contact = world.contact(mail_address="late@people.example")
    world.follow_up(sequence, closed, contact=contact, next_send=date(2026, 1, 2))
    output("plan")
    document = output("why", "late@people.example")
    assert "window_closed: No mailbox that may send the mail has an open window left today" in document


def test_status_shows_the_day_and_what_to_do(world: World) -> None:
    output("plan")
    world.finish("unknown", "contact_id = (SELECT min(contact_id) FROM sends)")
    world.run("UPDATE sends SET send_at = now() - interval '10 minutes', finished_at = now()")
    world.run("UPDATE mailboxes SET parked_until = now() + interval '1 hour', parked_reason = '535'")
    document = json.loads(output("status", "--json", status=1))
    assert document["ledger"]["sends"] == {"planned": 1, "unknown": 1}
    assert document["ledger"]["waiting"] == {"no_capacity": 1}
    assert document["ledger"]["parked"][0]["address"] == "box@sender.example"
    assert all(queue["visible"] == 0 for queue in document["queues"].values())
    words = " ".join(document["todo"])
    for hint in (
        "api does not respond",
        "not dispatched",
        "No worker",
        "unknown outcome",
        "Parked mailboxes: ",
    ):
        assert hint in words
    shown = output("status", status=1)
    assert "until" in shown
    assert "no capacity" in shown


def test_status_advises_nothing_if_all_is_well(world: World) -> None:
    settings = ObserverSettings()  # type: ignore[call-arg]
    now = datetime.now(UTC)
    ledger_status = replace(read_ledger_status(settings, settings.calendar, now), worker_connections=2)
    well = SystemState(now, date(2026, 6, 15), now, ledger_status, None, None, api=True)
    assert list(advise(well)) == []
    ill = replace(
        well,
        ledger=replace(ledger_status, unsent=Late(3, 900), unadvanced=Late(2, 4000)),
        dagster=Orchestration(
            ["SCHEDULER"], True, ["daily_plan_schedule"], None, [date(2026, 6, 14)], {"reconcile": 2}
        ),
    )
    assert len(list(advise(ill))) == 7


def test_metrics_are_served_until_sigterm(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output("plan")
    port = free_port()
    monkeypatch.setenv("METRICS_PORT", str(port))
    log = tmp_path / "metrics.log"
    process = launch([str(Path(sys.executable).parent / "sequences"), "metrics"], log=log)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        end(process)
    assert process.returncode == 0
    assert 'sequences_planning_day_sends{status="planned"} 2.0' in text
    assert 'sequences_waiting_contacts{reason="no_capacity"} 1.0' in text
    assert 'sequences_source_up{source="database"} 1.0' in text


def test_missed_days_are_those_between_the_first_plan_and_today() -> None:
    def made(first: str, last: str) -> dict[str, str]:
        return {"status": "MATERIALIZED", "startKey": first, "endKey": last}

    ranges = [made("2026-06-10-04:00", "2026-06-11-04:00"), made("2026-06-13-04:00", "2026-06-13-04:00")]
    assert missed_days(ranges, date(2026, 6, 15)) == [date(2026, 6, 12), date(2026, 6, 14)]
    assert missed_days([], date(2026, 6, 15)) == []


def test_durations_are_shown_in_their_largest_unit() -> None:
    assert [duration(s) for s in (45, 600, 7200, 400_000)] == ["45 s", "10 min", "2 h", "5 d"]


def test_stopped_database_gives_one_line_that_says_how_to_start_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a:b@127.0.0.1:9/c")
    with pytest.raises(SystemExit) as ended:
        app(["why", "a@b.example"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("Connection refused. Start it: `make run` or `sequences stack up`.")


def test_running_database_with_an_error_gets_no_hint_to_start_it(
    database: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{database.owner}_that_is_not_there")
    with pytest.raises(SystemExit) as ended:
        app(["why", "a@b.example"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("does not exist")


@pytest.mark.parametrize(
    ("default", "state", "off"),
    [("RUNNING", "STOPPED", True), ("RUNNING", "RUNNING", False), ("STOPPED", "STOPPED", False)],
)
def test_only_a_stopped_trigger_that_runs_by_default_counts_as_switched_off(
    default: str, state: str, off: bool
) -> None:
    for kind in ("scheduleState", "sensorState"):
        assert system_state._is_switched_off({"defaultStatus": default, kind: {"status": state}}) is off
