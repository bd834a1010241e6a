"""Tests of a database restored from pg_dump: no mail that was sent after the snapshot is sent again."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import Result
from typer.testing import CliRunner

from local_stack.postgres import Postgres, binaries
from sequence_cli.main import app
from sequence_store.domain.states import LIVE
from sequence_store.errors import ProgramsAtWorkError
from sequence_store.feed import drain_feed
from tests.faults.conftest import Chain

Guard = Callable[..., Result]


@pytest.fixture
def guard(chain: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Guard:
    """Run `sequences restore-guard` on the chain's database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", chain.chaos.url)
    monkeypatch.setenv("DELIVERY_RESULTS_QUEUE", chain.settings.delivery_results_queue)

    def run(*arguments: str, stdin: str | None = None) -> Result:
        monkeypatch.setenv("DATABASE_URL", chain.database.owner)
        command = ["restore-guard", *arguments]
        return CliRunner().invoke(app, command, input=stdin, catch_exceptions=False)

    return run


def dump(postgres: Postgres, chain: Chain, file: Path) -> str:
    """Back up the database; return the time of the snapshot."""
    noted = chain.world.one("SELECT clock_timestamp()").isoformat()
    with file.open("wb") as out:
        command = [*postgres.run_as.prefix, binaries() / "pg_dump", "--format=custom", chain.database.owner]
        subprocess.run(command, stdout=out, check=True)
    return str(noted)


def lose_and_restore(postgres: Postgres, chain: Chain, file: Path) -> None:
    """Drop the database and restore the snapshot under the same name."""
    for worker in chain.workers:
        worker.stop()
    chain.workers.clear()
    chain.world.connection.close()
    postgres.drop_database(chain.database.name)
    postgres.create_database(chain.database.name)
    with file.open("rb") as backup:
        command = [*postgres.run_as.prefix, binaries() / "pg_restore", "--exit-on-error", "--no-owner"]
        subprocess.run([*command, "--dbname", chain.database.owner], stdin=backup, check=True)
    chain.reconnect()


def mailed(chain: Chain) -> Counter[str]:
    return Counter(mail.rcpt_to[0] for mail in chain.sink.mails)


def mail_some(chain: Chain, count: int) -> None:
    """Send the mails of the first `count` planned sends; make the other ones due in an hour."""
    chain.world.run(
        "UPDATE sends SET send_at = clock_timestamp() + CASE WHEN contact_id IN "
        "(SELECT contact_id FROM sends WHERE status = 'planned' ORDER BY 1 LIMIT %s) "
        "THEN '0 s' ELSE '1 h' END::interval WHERE status = 'planned'",
        count,
    )
    before = len(chain.sink.mails)
    chain.dispatch()
    if not chain.workers:
        chain.start_worker()
    chain.sink.wait_for(before + count)


def go_on_for_a_day(chain: Chain) -> None:
    """Plan and send everything twice: now, and after the unknown outcomes have become final."""
    for _ in range(2):
        chain.plan()
        chain.dispatch()
        chain.start_worker()
        chain.run_until(lambda: not chain.statuses().keys() & LIVE)
        chain.world.run(
            "UPDATE sends SET finished_at = finished_at - interval '25 hours' WHERE status = 'unknown'"
        )
        chain.reconcile()
        chain.workers.pop().stop()


def test_restored_snapshot_mails_nothing_that_was_mailed_already(
    chain: Chain, postgres: Postgres, guard: Guard, tmp_path: Path
) -> None:
    sequence = chain.enrol(12, steps=3)
    chain.plan()
    mail_some(chain, 3)
    chain.run_until(lambda: chain.advanced() == 3)
    taken = dump(postgres, chain, tmp_path / "snapshot")
    mail_some(chain, 3)  # from the plan in the snapshot
    chain.world.run("UPDATE sequences_contacts SET next_send = %s WHERE current_step = 2", chain.today)
    chain.results()
    for _ in range(2):
        chain.world.enrol(sequence, next_send=chain.today)
    chain.plan()
    mail_some(chain, 4)  # planned or advanced after the snapshot
    before = mailed(chain)
    lose_and_restore(postgres, chain, tmp_path / "snapshot")
    assert chain.statuses()["sent"] == 3

    told = guard("--since", taken, "--yes")
    assert told.exit_code == 0, told.output
    guarded = {"sent": 3 + 4, "unknown": 5}  # four results were still in the queue
    assert chain.statuses() == guarded
    assert guard("--since", taken, "--yes").exit_code == 0
    assert chain.statuses() == guarded
    with chain.database.connect("pipeline", autocommit=True) as connection:
        drain_feed(connection)
        rows: Any = connection.execute(
            "SELECT coalesce(sum(sent), 0), coalesce(sum(unknown), 0) FROM outcome_days WHERE grain = 'step'"
        ).fetchall()
    assert [tuple(map(int, row)) for row in rows] == [(guarded["sent"], guarded["unknown"])]
    positions = chain.world.one("SELECT min(position) FROM send_events WHERE position > 1000000000")
    assert positions is not None, "readers that stored a position of the lost time are not behind it"
    go_on_for_a_day(chain)
    assert mailed(chain) == before


def test_follow_ups_that_may_have_gone_out_since_an_older_snapshot_are_not_mailed_again(
    chain: Chain, postgres: Postgres, guard: Guard, tmp_path: Path
) -> None:
    """Three days are lost: three steps of a daily sequence may have been sent, the fourth cannot."""
    sequence = chain.enrol(1, steps=0)
    for number in range(1, 6):
        chain.world.step(sequence, number, delay_days=1)
    chain.world.run("UPDATE sequences_contacts SET next_send = %s", chain.today - timedelta(days=2))
    dump(postgres, chain, tmp_path / "snapshot")
    lose_and_restore(postgres, chain, tmp_path / "snapshot")
    taken = (chain.now() - timedelta(days=2)).isoformat()
    assert guard("--since", taken, "--yes").exit_code == 0
    assert chain.statuses() == {"unknown": 3}
    go_on_for_a_day(chain)
    assert chain.sink.mails == []
    assert chain.world.one("SELECT current_step, next_send FROM sequences_contacts") == (
        4,
        chain.now().date() + timedelta(days=1),
    )


@pytest.mark.parametrize("hours", [("00:00", "24:00"), ("22:00", "06:00")])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_only_steps_whose_dates_have_passed_on_the_clock_of_the_mailbox_are_given_up(
    chain: Chain, guard: Guard, zone: str, hours: tuple[str, str]
) -> None:
    mailbox = chain.world.mailbox(send_start_time=hours[0], send_end_time=hours[1], time_zone=zone)
    sequence = chain.world.sequence(steps=9, delay=1, mailboxes=(mailbox,))
    first_day = chain.today - timedelta(days=1)
    taken = chain.settings.calendar.start_of(first_day)
    lost = [at.astimezone(ZoneInfo(zone)).date() for at in (taken, chain.now())]
    # a window over midnight began on the date before
    begun = lost[0] - timedelta(days=hours[0] > hours[1])
    new = chain.world.enrol(sequence, next_send=first_day)
    on_the_last_date = chain.world.follow_up(sequence, mailbox, next_send=lost[1])
    chain.world.follow_up(sequence, mailbox, next_send=lost[1] + timedelta(days=1))
    assert guard("--since", taken.isoformat(), "--yes").exit_code == 0
    given_up = chain.world.connection.execute(
        "SELECT contact_id, array_agg(send_day ORDER BY step_id) FROM sends GROUP BY 1 ORDER BY 1"
    ).fetchall()
    days = [begun + timedelta(days=n) for n in range((lost[1] - begun).days + 1)]
    assert given_up == [(new, days), (on_the_last_date, days[-1:])]


def test_with_the_names_of_all_mails_nothing_is_mailed_twice_and_nothing_is_left_out(
    chain: Chain, postgres: Postgres, guard: Guard, tmp_path: Path
) -> None:
    chain.enrol(10)
    chain.plan()
    taken = dump(postgres, chain, tmp_path / "snapshot")
    mail_some(chain, 4)
    chain.run_until(lambda: chain.advanced() == 4)
    lose_and_restore(postgres, chain, tmp_path / "snapshot")
    log = tmp_path / "mail.log"
    names = [message_from_bytes(mail.data)["Message-ID"] for mail in chain.sink.mails]
    log.write_text("\n".join(f"accepted message-id={name} status=sent" for name in names))
    told = guard("--since", taken, "--sent", str(log), "--complete")
    assert "4 mails have a known outcome" in told.output
    assert chain.statuses() == {"sent": 4, "planned": 6}
    go_on_for_a_day(chain)
    chain.assert_each_was_mailed_once(10)


def test_what_workers_reported_is_learnt_from_the_queue_and_later_places_hold_where_no_plan_was_made(
    chain: Chain, postgres: Postgres, guard: Guard, tmp_path: Path
) -> None:
    chain.enrol(6)
    chain.plan()
    taken = dump(postgres, chain, tmp_path / "snapshot")
    mail_some(chain, 2)
    assert chain.queue("delivery_results_queue").depth() == 2
    lose_and_restore(postgres, chain, tmp_path / "snapshot")
    chain.world.run("UPDATE sends SET send_at = send_at + interval '1 h' WHERE contact_id > 4")
    assert guard("--since", taken, "--keep-places", "--yes").exit_code == 0
    assert chain.statuses() == {"sent": 2, "unknown": 2, "planned": 2}
    assert chain.queue("delivery_results_queue").depth() == 2
    chain.run_until(lambda: chain.advanced() == 2)


def test_ids_of_what_is_lost_are_given_to_nobody_else_and_the_day_counts_what_may_have_gone_out(
    chain: Chain, postgres: Postgres, guard: Guard, tmp_path: Path
) -> None:
    chain.enrol(3)
    chain.plan()
    taken = dump(postgres, chain, tmp_path / "snapshot")
    lost = chain.world.contact()
    lose_and_restore(postgres, chain, tmp_path / "snapshot")
    assert guard("--since", taken, "--dry-run").output.endswith("Nothing was written.\n")
    told = json.loads(guard("--since", taken, "--dry-run", "--json").output)
    assert (told["of_snapshot"], told["written"]) == ({"unknown": 3}, False)
    assert chain.statuses() == {"planned": 3}
    assert guard("--since", taken, "--yes").exit_code == 0
    assert chain.world.contact() > lost + 1000
    assert chain.world.one("SELECT sum(used)::int FROM mailbox_days") == 3


def test_guard_refuses_while_programs_are_at_work_and_what_cannot_be(chain: Chain, guard: Guard) -> None:
    taken = chain.now().isoformat()
    with chain.database.connect("worker"), pytest.raises(ProgramsAtWorkError, match="1 sessions"):
        guard("--since", taken, "--yes")
    for arguments in (
        ["--since", "yesterday"],
        ["--since", "2026-06-15T04:00:00"],
        ["--since", taken, "--complete"],
    ):
        assert guard(*arguments).exit_code == 2
    assert guard("--since", "2026-06-15T04:00:00Z", "--keep-places").exit_code == 2


def test_costly_form_says_its_number_and_asks_before_it_writes(
    chain: Chain, postgres: Postgres, guard: Guard, tmp_path: Path
) -> None:
    chain.enrol(3)
    chain.plan()
    taken = dump(postgres, chain, tmp_path / "snapshot")
    lose_and_restore(postgres, chain, tmp_path / "snapshot")
    for answer in ("n\n", "", "what\n"):
        told = guard("--since", taken, stdin=answer)
        assert told.exit_code == 1
        assert told.output.startswith("3 sends become unknown")
        assert "--sent FILE --complete" in told.output
        assert "Nothing was written." in told.output
        assert chain.statuses() == {"planned": 3}
    assert guard("--since", taken, stdin="y\n").exit_code == 0
    assert chain.statuses() == {"unknown": 3}


def test_exact_form_reads_standard_input_and_asks_nothing(
    chain: Chain, postgres: Postgres, guard: Guard, tmp_path: Path
) -> None:
    chain.enrol(5)
    chain.plan()
    taken = dump(postgres, chain, tmp_path / "snapshot")
    mail_some(chain, 2)
    chain.run_until(lambda: chain.advanced() == 2)
    lose_and_restore(postgres, chain, tmp_path / "snapshot")
    names = [message_from_bytes(mail.data)["Message-ID"] for mail in chain.sink.mails]
    told = guard("--since", taken, "--sent", "-", "--complete", stdin="\n".join(names))
    assert told.exit_code == 0, told.output
    assert "2 mails have a known outcome" in told.output
    assert chain.statuses() == {"sent": 2, "planned": 3}


@pytest.mark.parametrize("form", [["--complete"], []])
def test_list_that_names_no_mail_of_ours_is_warned_about(
    chain: Chain, postgres: Postgres, guard: Guard, tmp_path: Path, form: list[str]
) -> None:
    chain.enrol(2)
    chain.plan()
    taken = dump(postgres, chain, tmp_path / "snapshot")
    lose_and_restore(postgres, chain, tmp_path / "snapshot")
    told = guard("--since", taken, "--sent", "-", *form, "--dry-run", stdin="<1.2.3@elsewhere.example>")
    assert told.exit_code == 0, told.output
    assert "the --sent files name no mail of this deployment" in told.output
    assert ("would be sent again" in told.output) is bool(form)
