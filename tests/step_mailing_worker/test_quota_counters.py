"""Tests of the quota counters on a real Valkey: they save connections, and Postgres decides."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import valkey

from sequence_pipelines.dispatch.quota_counters import set_quota_counters
from sequence_store.quota_counters import counter_name
from step_mailing_worker import quota_counters
from tests.conftest import SmtpSink
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.scripted_smtp import ScriptedSmtp
from tests.valkey_server import ValkeyServer

TODAY = datetime.now(UTC).date()


class Valkey(ValkeyServer):
    """A Valkey server with access to its counters."""

    def left(self, mailbox: int, day: date) -> int | None:
        with valkey.Valkey.from_url(self.url) as client:
            value = client.get(counter_name("local", mailbox, day))
            return None if value is None else int(value)  # type: ignore[arg-type]

    def put(self, mailbox: int, day: date, left: int) -> None:
        with valkey.Valkey.from_url(self.url) as client:
            client.set(counter_name("local", mailbox, day), left)


@pytest.fixture
def counters(team: Team, tmp_path: Path) -> Iterator[Valkey]:
    """The Valkey server that the team's workers use."""
    server = Valkey(tmp_path)
    server.start()
    team.smtp["valkey_url"] = server.url
    try:
        yield server
    finally:
        server.kill()


def plan(team: Team, allowed: int) -> None:
    """Set the limit of the day in Postgres and Valkey, as a plan does."""
    team.run(
        "INSERT INTO mailbox_days (mailbox_id, send_day, allowed) VALUES (%s, %s, %s)"
        " ON CONFLICT (mailbox_id, send_day) DO UPDATE SET allowed = excluded.allowed",
        team.mailbox,
        TODAY,
        allowed,
    )
    settings = team.queues.settings.pipeline.model_copy(update={"valkey_url": team.smtp["valkey_url"]})
    with team.database.connect("pipeline") as connection:
        set_quota_counters(connection, settings, TODAY)


def send_all(team: Team, count: int) -> dict[str, int]:
    """Publish `count` sends and wait until they are handled; return the number of all sends by status."""
    team.publish(*[team.dispatch(team.contact(), send_day=TODAY) for _ in range(count)])
    if not team.workers:
        team.start()
    assert team.handled(30)
    rows = team.connection.execute("SELECT status, count(*) FROM sends GROUP BY 1").fetchall()
    return dict(rows)


def test_used_up_day_is_refused_before_any_connection(
    team: Team, counters: Valkey, scripted: ScriptedSmtp
) -> None:
    team.smtp["smtp_port"] = scripted.port
    plan(team, 2)
    assert counters.left(team.mailbox, TODAY) == 2
    assert send_all(team, 2) == {"sent": 2}
    assert counters.left(team.mailbox, TODAY) == 0
    connections, commands = scripted.connections, len(scripted.commands)
    assert send_all(team, 5) == {"sent": 2, "cancelled": 5}
    assert team.one("SELECT count(*) FROM sends WHERE reason = 'limit_reached'") == 5
    assert scripted.connections == connections
    assert [c for c in scripted.commands[commands:] if c.startswith("MAIL")] == []
    assert team.one("SELECT bool_and(status = 'active') FROM sequences_contacts")


def test_refusal_holds_only_where_the_database_confirms_it(
    team: Team, counters: Valkey, smtp_sink: SmtpSink
) -> None:
    plan(team, 5)
    counters.put(team.mailbox, TODAY, 0)
    team.start(worker_concurrency=1)
    assert send_all(team, 3) == {"sent": 3}
    assert counters.left(team.mailbox, TODAY) == 2


def test_consent_never_suffices(team: Team, counters: Valkey, smtp_sink: SmtpSink) -> None:
    plan(team, 2)
    counters.put(team.mailbox, TODAY, 1000)
    assert send_all(team, 6) == {"sent": 2, "cancelled": 4}
    assert len(smtp_sink.mails) == 2
    assert counters.left(team.mailbox, TODAY) == 0  # corrected by the gate's refusal


def test_mail_that_did_not_go_out_gives_its_place_back(
    team: Team, counters: Valkey, scripted: ScriptedSmtp
) -> None:
    team.smtp["smtp_port"] = scripted.port
    scripted.script["RCPT"] = "450 4.2.1 slow down"
    plan(team, 3)
    assert send_all(team, 2) == {"planned": 2}
    assert counters.left(team.mailbox, TODAY) == 3


@pytest.mark.parametrize("returns", [False, True], ids=["lost", "restarted_empty"])
def test_valkey_that_is_lost_at_mid_day_changes_nothing_but_speed(
    team: Team, counters: Valkey, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch, returns: bool
) -> None:
    monkeypatch.setattr(quota_counters, "PAUSE_SECONDS", 0.0)
    plan(team, 5)
    assert send_all(team, 3) == {"sent": 3}
    counters.kill()
    if returns:
        counters.start()
    assert send_all(team, 4) == {"sent": 5, "cancelled": 2}
    assert len(smtp_sink.mails) == 5
    if returns:
        assert counters.left(team.mailbox, TODAY) == 0


def test_many_mails_at_once_ask_over_few_connections(team: Team, counters: Valkey) -> None:
    settings = team.settings()
    counters.put(1, TODAY, 1000)

    async def reserve_all() -> list[object]:
        quota = quota_counters.QuotaCounters(settings)
        try:
            results = await asyncio.gather(*(quota.reserve(1, TODAY) for _ in range(500)))
            with valkey.Valkey.from_url(counters.url) as client:
                connected = int(client.info("clients")["connected_clients"])  # type: ignore[index,arg-type]
            return [*results, connected - 1]
        finally:
            await quota.close()

    *results, connected = asyncio.run(reserve_all())
    assert results == ["reserved"] * 500
    assert connected == quota_counters.CONNECTIONS
    assert counters.left(1, TODAY) == 500


def test_plan_goes_on_where_valkey_is_away(team: Team, counters: Valkey) -> None:
    counters.kill()
    plan(team, 5)
    assert team.one("SELECT allowed FROM mailbox_days") == 5
