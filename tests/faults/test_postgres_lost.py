"""Tests with a killed Postgres, ended sessions and silent connections at the most critical moments."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

import psycopg
import pytest

from local_stack.postgres import Postgres
from local_stack.processes import wait_until
from sequence_pipelines.planning.planner import make_plan
from sequence_store.postgres.connection import connect
from sequence_store.postgres.queries import query
from tests.faults.clusters import restart_immediately, served, with_template
from tests.faults.conftest import Chain
from tests.faults.tcp_proxy import tcp_proxy


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with served(tmp_path_factory.mktemp("durable")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    return with_template(postgres)


def test_server_that_is_killed_while_mails_go_out_costs_no_mail_and_doubles_none(
    chain: Chain, postgres: Postgres
) -> None:
    contacts = 40
    chain.enrol(contacts)
    chain.plan()
    chain.start_worker(worker_concurrency=4)
    chain.start_worker(worker_concurrency=4)
    chain.dispatch()
    for mails in (5, 15, 25):
        chain.sink.wait_for(mails)
        restart_immediately(postgres)
        chain.reconnect()
    chain.run_until(lambda: chain.statuses() == {"sent": contacts} and chain.advanced() == contacts)
    chain.assert_each_was_mailed_once(contacts)


def test_plan_whose_server_is_killed_has_changed_nothing_and_is_made_again(
    chain: Chain, postgres: Postgres
) -> None:
    chain.enrol(10)
    with suppress(psycopg.OperationalError), connect(chain.database.pipeline, name="plan") as connection:
        make_plan(connection, chain.settings, chain.now())
        restart_immediately(postgres)
    chain.reconnect()
    assert chain.statuses() == {}
    assert chain.world.one("SELECT count(*) FROM mailbox_days") == 0
    chain.plan()
    assert chain.statuses() == {"planned": 10}


def test_dispatch_that_loses_its_session_between_sending_and_marking_is_made_up_for(chain: Chain) -> None:
    chain.enrol(5)
    chain.plan()
    with _locked(chain, "sends"), pytest.raises(psycopg.OperationalError):
        _in_a_lost_session(chain, chain.dispatch)
    assert chain.statuses() == {"planned": 5}
    assert wait_until(lambda: chain.queue("sends_queue").depth() == 5, 5)
    assert chain.dispatch() == 5
    chain.start_worker()
    chain.run_until(lambda: chain.advanced() == 5)
    chain.assert_each_was_mailed_once(5)


def test_results_whose_session_is_lost_are_applied_once_by_the_next_run(chain: Chain) -> None:
    chain.enrol(5)
    chain.plan()
    chain.dispatch()
    chain.start_worker()
    assert wait_until(lambda: chain.queue("delivery_results_queue").depth() == 5, 20)
    with _locked(chain, "sequences_contacts"), pytest.raises(psycopg.OperationalError):
        _in_a_lost_session(chain, chain.results)
    assert chain.advanced() == 0
    chain.run_until(lambda: chain.advanced() == 5)
    chain.assert_each_was_mailed_once(5)


def test_worker_whose_connection_falls_silent_past_its_lease_is_overtaken_and_mails_nothing_twice(
    chain: Chain,
) -> None:
    chain.enrol(1)
    chain.plan()
    url = urlsplit(chain.database.worker)
    with tcp_proxy(url.port or 0) as proxy:
        through = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{proxy.port}")).geturl()
        silent = chain.start_worker(worker_database_url=through, claim_lease_seconds=1)
        with _locked(chain, "contacts"):  # the gate before DATA waits for the lock
            chain.dispatch()
            assert wait_until(lambda: _waits(chain, "worker"), 10)
            proxy.fall_silent()
        assert wait_until(lambda: chain.statuses()["transmitting"] == 1, 10)
        assert chain.sink.mails == []  # the result of the gate has not arrived
        chain.changes["transmitting_bound_seconds"] = 0
        chain.reconcile()
        assert chain.statuses() == {"unknown": 1}
        proxy.speak_again()
        chain.sink.wait_for(1)  # the same claim may still record its outcome
        chain.run_until(lambda: chain.advanced() == 1)
        chain.assert_each_was_mailed_once(1)
        silent.stop()


def test_connection_that_is_silent_at_the_claim_costs_a_lease_and_no_mail(chain: Chain) -> None:
    chain.enrol(3)
    chain.plan()
    url = urlsplit(chain.database.worker)
    with tcp_proxy(url.port or 0) as proxy:
        through = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{proxy.port}")).geturl()
        silent = chain.start_worker(worker_database_url=through, claim_lease_seconds=1)
        proxy.fall_silent()
        chain.dispatch()
        chain.start_worker()
        chain.run_until(lambda: chain.advanced() == 3)
        proxy.break_off()
        proxy.speak_again()
        silent.stop()
    chain.assert_each_was_mailed_once(3)


def test_bounce_is_recorded_while_a_dispatch_is_at_work(chain: Chain) -> None:
    chain.enrol(1)
    chain.plan()
    chain.sink.replies["RCPT"] = "550 5.1.1 no such user"
    chain.dispatch()
    with chain.database.connect("pipeline", autocommit=True) as dispatcher:
        assert dispatcher.execute(query("dispatch", "lock_dispatch")).fetchone() == (True,)
        chain.start_worker()
        assert wait_until(lambda: chain.statuses() == {"hard_failed": 1}, 10)


@contextmanager
def _locked(chain: Chain, table: str) -> Iterator[None]:
    with chain.database.connect("owner") as blocker:
        blocker.execute(f"SELECT FROM {table} FOR UPDATE")  # type: ignore[arg-type]
        yield


def _waits(chain: Chain, role: Literal["pipeline", "worker"]) -> bool:
    """Return whether a session of the role waits for a lock, as seen by the role itself."""
    with chain.database.connect(role) as colleague:
        found = colleague.execute(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = current_user"
            " AND datname = current_database()"
        )
        return bool(found.rowcount)


def _in_a_lost_session(chain: Chain, work: object) -> None:
    """Run `work`, and end its session when it waits for a lock."""

    def end() -> None:
        assert wait_until(lambda: _waits(chain, "pipeline"), 10)
        with psycopg.connect(chain.database.pipeline, autocommit=True) as colleague:
            colleague.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND usename = current_user AND datname = current_database()"
            )

    ending = threading.Thread(target=end)
    ending.start()
    try:
        work()  # type: ignore[operator]
    finally:
        ending.join()
