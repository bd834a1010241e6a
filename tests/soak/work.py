"""Creates the contacts of a soak, and runs the work of Dagster's jobs for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from local_stack.processes import wait_until
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.dispatch.quota_counters import set_quota_counters
from sequence_pipelines.maintenance.reconcile import reconcile_ledger
from sequence_pipelines.planning.planner import make_plan
from sequence_pipelines.results.consumer import apply_without_message, consume_results
from sequence_store.domain.states import LIVE
from sequence_store.postgres.connection import connect
from tests.history import record_history
from tests.soak.servers import Servers

MAILBOXES = 8
SEQUENCES = 4
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, BotoCoreError, ClientError)


class Work:
    """Inserts half of the contacts at the start; the imports of the traffic add the others."""

    def __init__(self, servers: Servers, *, minutes: float, mails: int) -> None:
        self._servers = servers
        self._minutes = minutes
        self.mails = mails
        self.interrupted: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()

    def jobs(self) -> tuple[tuple[float, Callable[[], None]], ...]:
        return (
            (20.0, self._counted("plan", self._plan)),
            (2.0, self._counted("dispatch", self._dispatch)),
            (2.0, self._counted("results", self._results)),
            (5.0, self._counted("reconcile", self._reconcile)),
        )

    def prepare(self) -> None:
        """Insert mailboxes whose window closes a minute after the last fault, and make the first plan."""
        start = datetime.now(UTC).replace(second=0, microsecond=0)
        end = start + timedelta(minutes=self._minutes + 2)
        day = self._servers.pipeline.calendar.day_of(start)
        with self._servers.connect() as connection:
            record_history(connection)
            connection.execute(
                "INSERT INTO mailboxes"
                " (address, send_limit, send_start_time, send_end_time, min_gap_seconds)"
                " SELECT 'box' || n || '@sender.example', 100000, %s, %s, n %% 2"
                " FROM generate_series(1, %s) n",
                (start.time(), end.time(), MAILBOXES),
            )
            connection.execute(
                "INSERT INTO sequences (sequence_name) SELECT 'sequence ' || n FROM generate_series(1, %s) n",
                (SEQUENCES,),
            )
            connection.execute(
                "INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content, delay_days) "
                "SELECT q.id, n, 'Step ' || n, 'Hello {{ contact.name }}', n - 1 "
                "FROM sequences q, generate_series(1, 2) n"
            )
            connection.execute(
                "INSERT INTO sequences_mailboxes SELECT q.id, m.id FROM sequences q, mailboxes m"
            )
            connection.execute(
                "INSERT INTO contacts (name, mail_address) "
                "SELECT 'Bob ' || n, 'bob' || n || '@people.example' FROM generate_series(1, %s) n",
                (self.mails // 2,),
            )
            connection.execute(
                "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) "
                "SELECT 1 + c.id %% %s, c.id, %s FROM contacts c",
                (SEQUENCES, day),
            )
        self._plan()

    def statuses(self) -> dict[str, int]:
        try:
            with self._servers.connect() as connection:
                rows = connection.execute(
                    "SELECT status, count(*) FROM sends GROUP BY 1 ORDER BY 1"
                ).fetchall()
        except AWAY:
            return {}
        return {str(status): int(str(count)) for status, count in rows}

    def wait_until_quiet(self, seconds: float) -> bool:
        """Wait until no send is live and no message is left; return False after `seconds`."""

        def quiet() -> bool:
            found = self.statuses()
            return bool(found) and not LIVE & found.keys() and not self._servers.waiting()

        return wait_until(quiet, seconds)

    def finish(self) -> None:
        """Apply the remaining results and plan once more, so that each waiting contact has a deferral."""
        self._results()
        self._reconcile()
        self._plan()

    def _counted(self, name: str, job: Callable[[], None]) -> Callable[[], None]:
        """Return a job that counts its runs and its failures instead of raising; the next run catches up."""

        def run() -> None:
            self.runs[name] += 1
            try:
                job()
            except AWAY:
                self.interrupted[name] += 1

        return run

    def _plan(self) -> None:
        settings = self._servers.pipeline
        with connect(settings.pipeline_database_url, name="soak plan") as connection:
            plan = make_plan(connection, settings, datetime.now(UTC))
            connection.commit()
            set_quota_counters(connection, settings, plan.day.day)

    def _dispatch(self) -> None:
        settings = self._servers.pipeline
        with connect(settings.pipeline_database_url, name="soak dispatch", autocommit=True) as connection:
            dispatch(connection, self._servers.queues().sends(), settings)

    def _results(self) -> None:
        settings = self._servers.pipeline
        with connect(settings.pipeline_database_url, name="soak results") as connection:
            consume_results(connection, self._servers.queues().delivery_results(), settings)

    def _reconcile(self) -> None:
        settings = self._servers.pipeline
        with connect(settings.pipeline_database_url, name="soak reconcile") as connection:
            reconcile_ledger(connection, settings)
            apply_without_message(connection, settings)
