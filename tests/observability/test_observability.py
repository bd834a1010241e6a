"""Metrics, dashboard and alerts: every query names an existing metric, every alert links to the runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import QueuePool

from crud_api.metrics import Metrics
from local_stack.ports import free_port
from sequence_cli.state_metrics import StateCollector
from sequence_cli.system_state import Late, LatestPlan, LedgerStatus, Orchestration, QueueState, SystemState
from sequence_store.domain.states import Outcome
from step_mailing_worker.metrics import WorkerMetrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
NOW = datetime(2026, 6, 15, 7, tzinfo=UTC)
LEDGER_STATUS = LedgerStatus(
    sends={"sent": 3},
    reasons={},
    next_at=None,
    waiting={"no_capacity": 2},
    undispatched=Late(1, 400.0),
    unsent=Late(),
    unadvanced=Late(),
    unknown=Late(),
    active_mailboxes=4,
    allowed=200,
    used=3,
    parked=[],
    worker_connections=2,
    outcomes={"mails": 40, "replied": 2},
    checks={("sending_health", "promises_kept"): True, ("mail_facts", "facts_equal_ledger"): False},
)
DAGSTER = Orchestration(
    [],
    True,
    [],
    LatestPlan(NOW, "2026-06-15", "run", {"planned": 3.0, "seconds_assign": 0.5}),
    [],
    {"reconcile": 1},
)
STATE = SystemState(
    NOW, date(2026, 6, 15), NOW, LEDGER_STATUS, {"sequence-sends": QueueState(1, 2, 3, 4)}, DAGSTER, api=True
)


def exposed(state: SystemState) -> str:
    registry = CollectorRegistry()
    registry.register(StateCollector(lambda: state))
    return generate_latest(registry).decode()


def all_exposed() -> str:
    api = Metrics(QueuePool(lambda: None))  # type: ignore[arg-type,return-value]
    api.record("GET", "/sequences", 200, 0.01)
    return exposed(STATE) + generate_latest(WorkerMetrics().registry).decode() + api.text().decode()


def names_in(expression: str) -> set[str]:
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)', "", expression)
    return {name for name in re.findall(r"[a-z_]{4,}", bare) if "_" in name and name != "histogram_quantile"}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"])


def test_state_is_exposed_with_zero_for_absent_statuses() -> None:
    text = exposed(STATE)
    for line in (
        'sequences_planning_day_sends{status="sent"} 3.0',
        'sequences_planning_day_sends{status="unknown"} 0.0',
        'sequences_oldest_late_send_age_seconds{stage="undispatched"} 400.0',
        'sequences_queue_messages{queue="sequence-sends",state="dead"} 4.0',
        "sequences_plan_duration_seconds 0.5",
        'sequences_outcomes{outcome="replied"} 2.0',
        'sequences_check_passed{asset="sending_health",check="promises_kept"} 1.0',
        'sequences_check_passed{asset="mail_facts",check="facts_equal_ledger"} 0.0',
        "sequences_feed_waiting_events 0.0",
        'sequences_source_up{source="dagster"} 1.0',
    ):
        assert line in text


def test_source_that_does_not_respond_is_down_and_its_metrics_are_absent() -> None:
    text = exposed(replace(STATE, ledger=None, silent={"database": "refused"}))
    assert 'sequences_source_up{source="database"} 0.0' in text
    assert "sequences_planning_day_sends" not in text


def test_scrapes_in_quick_succession_share_one_read() -> None:
    looks: list[int] = []
    registry = CollectorRegistry()
    registry.register(StateCollector(lambda: looks.append(1) or STATE))  # type: ignore[func-returns-value]
    generate_latest(registry)
    generate_latest(registry)
    assert len(looks) == 1


def test_worker_counts_outcomes_and_serves_them_if_a_port_is_set(make_settings: Any) -> None:
    metrics = WorkerMetrics()
    metrics.ended(Outcome.SENT, 0.3)
    metrics.ended(Outcome.HARD_FAILED, 9.0)
    port = free_port()
    server = metrics.serve(make_settings(worker_metrics_port=port).worker)
    assert server is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    server.shutdown()
    server.server_close()
    assert 'sequences_worker_sends_total{outcome="sent"} 1.0' in text
    assert "sequences_worker_send_lateness_seconds_count 1.0" in text
    assert WorkerMetrics().serve(make_settings().worker) is None


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_every_query_of_the_dashboard_names_existing_metrics(panel: dict[str, Any]) -> None:
    text = all_exposed()
    for target in panel["targets"]:
        assert names_in(target["expr"])
        for name in names_in(target["expr"]):
            assert f"\n{name}" in text, name


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_names_existing_metrics_and_links_to_the_runbook(rule: dict[str, Any]) -> None:
    text = all_exposed()
    for name in names_in(rule["expr"]):
        assert f"\n{name}" in text, name
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^## (.+)$", runbook, re.MULTILINE)
    }
    assert rule["annotations"]["runbook"] in headings
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")]
)
def test_promtool_accepts_configuration_and_rules(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
