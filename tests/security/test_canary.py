"""Runs a whole day with marked contacts and secrets, and searches all logs and outputs for the marks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from local_stack.processes import wait_until
from sequence_store.secrets.at_rest import SecretBox
from tests.conftest import Queues
from tests.crud_api.conftest import Api, api  # noqa: F401
from tests.faults.conftest import Chain, chain  # noqa: F401
from tests.pipelines.test_assets import instance, run  # noqa: F401
from tests.step_mailing_worker.conftest import scripted  # noqa: F401
from tests.step_mailing_worker.scripted_smtp import ScriptedSmtp

MARK = "canary"


@pytest.fixture
def world(chain: Chain) -> Any:  # noqa: F811
    return chain.world


def enter_day(chain: Chain, scripted: ScriptedSmtp) -> None:  # noqa: F811
    """Insert marked contacts: mailed, bounced with a reply that names it, without a value, invalid."""
    world = chain.world
    box = SecretBox(chain.queues.settings.worker.keys_of_secrets, takes_unsealed=False)
    everywhere = {"send_start_time": "00:00", "send_end_time": "00:00", "display_name": "Canary Sender"}
    own = world.mailbox(
        **everywhere,
        address="canary-own@sender.example",
        smtp_host="127.0.0.1",
        smtp_port=scripted.port,
        smtp_security="none",
        smtp_username="canary-user",
        smtp_secret=box.seal("canary-password"),
    )
    ours = world.mailbox(**everywhere, address="canary-ours@sender.example")
    chain.sink.replies["canary-bounced@people.example"] = (
        "550 5.1.1 <canary-bounced@people.example> is not known here"
    )
    for mailbox in (own, ours):
        sequence = world.sequence(steps=0, mailboxes=(mailbox,), sequence_name=f"canary sequence {mailbox}")
        world.step(
            sequence, 1, mail_content="Hi {{ contact.name }} of {{ contact.attributes.firm }}, canary-content"
        )
        for name in ("mailed", "bounced"):
            address = (
                f"canary-{name}@people.example" if mailbox == ours else f"canary-{name}{own}@people.example"
            )
            world.enrol(sequence, marked(world, address), next_send=chain.today)
        no_firm = world.contact(name="Canary Name", mail_address=f"canary-no-firm{mailbox}@people.example")
        world.enrol(sequence, no_firm, next_send=chain.today)
        world.enrol(sequence, marked(world, f"canary invalid {mailbox}"), next_send=chain.today)


def marked(world: Any, address: str) -> int:
    from psycopg.types.json import Jsonb

    return int(
        world.contact(name="Canary Name", mail_address=address, attributes=Jsonb({"firm": "Canary Firm"}))
    )


def bodies(chain: Chain, setting: str) -> list[str]:  # noqa: F811
    """Return the bodies of a queue's messages without deleting them."""
    queue = chain.queue(setting)
    received = []
    while more := queue.receive():
        received += more
    for message in received:
        queue.hide(message, 0)
    return [message.body for message in received]


def provoke(api: Api, answers: list[str]) -> None:  # noqa: F811
    """Make API requests with marked data that are refused or fail; collect the responses."""
    contact = {"name": "Canary Name", "mailAddress": "canary-mailed@people.example"}
    file = "name,mailAddress\nCanary Name,canary nobody\nCanary Name,canary-mailed@people.example\n"
    asked = [
        api.post("/contacts", contact),
        api.post("/contacts", contact | {"mailAddress": "canary nobody"}),
        api.post("/contacts", contact | {"canaryField": "canary"}),
        api.post("/mailboxes", {"address": "canary-own@sender.example", "smtpSecret": "canary-secret"}),
        api.get("/contacts/canary-id"),
        api.get("/u/canary-token"),
    ]
    assert {answer.status_code for answer in asked} == {400, 404, 409}
    imported = api.post("/contacts/imports", content=file.encode(), params={"existing": "keep"}).json()
    api.sql("ALTER TABLE contacts RENAME TO contacts_away")
    failed = [
        api.get("/contacts"),
        api.post("/contacts", contact | {"mailAddress": "canary-new@people.example"}),
    ]
    api.sql("ALTER TABLE contacts_away RENAME TO contacts")
    assert {answer.status_code for answer in failed} == {500}
    answers += [answer.text.replace("canaryField", "") for answer in (*asked, *failed)]
    answers.append(api.get(f"/imports/{imported['id']}/report").text)


def test_no_person_and_no_secret_is_in_logs_queues_dagster_or_errors(
    chain: Chain,  # noqa: F811
    api: Api,  # noqa: F811
    run: Any,  # noqa: F811
    instance: Any,  # noqa: F811
    scripted: ScriptedSmtp,  # noqa: F811
    queues: Queues,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.CRITICAL, "mail.log")  # the logger of the test's SMTP server
    logging.getLogger("step_mailing_worker").setLevel(logging.DEBUG)
    written: list[str] = []
    enter_day(chain, scripted)
    today = {"day": chain.today, "now": None}
    run("due_contacts", "mailbox_capacity", "send_plan", **today)
    chain.world.run("ALTER TABLE plan_deferrals RENAME TO plan_deferrals_away")
    assert not run("due_contacts", "mailbox_capacity", "send_plan", **today, fails=True).success
    chain.world.run("ALTER TABLE plan_deferrals_away RENAME TO plan_deferrals")
    chain.world.run("UPDATE sends SET send_at = clock_timestamp() - interval '1 s' WHERE status = 'planned'")
    run("timed_messages", **today)
    written += bodies(chain, "sends_queue")
    chain.start_worker()
    ended = {"sent": 3, "hard_failed": 1, "cancelled": 2}
    assert wait_until(lambda: chain.statuses() == ended, 30), chain.statuses()
    assert len(chain.sink.mails) + len(scripted.mails) == 3
    assert any(line.startswith("AUTH") for line in scripted.commands)
    written += bodies(chain, "delivery_results_queue")
    run("delivery_results", **today)
    api.sql("UPDATE sends SET finished_at = finished_at - interval '1 hour' WHERE status = 'sent'")
    run("mail_facts", **today)
    run("sends_today", "sequence_performance", day=None, now=None)
    written += [api.get(path).text for path in ("/events", "/stats?by=mailbox", "/stats?by=day")]
    provoke(api, written)

    assert len(written) > 6 + 6 + 3
    runs = instance.get_runs()
    assert len(runs) == 6
    events = [str(record) for one in runs for record in instance.all_logs(one.run_id)]
    assert any("plan_deferrals" in event for event in events), "the failure must be reported"
    frames = [
        str(pd.read_parquet(path).to_dict()) for path in Path(chain.settings.asset_store).rglob("*.parquet")
    ]
    assert frames
    kept = chain.world.connection.execute(
        "SELECT smtp_reply, reason FROM sends UNION ALL SELECT detail::text, kind FROM send_events "
        "UNION ALL SELECT parked_reason, '' FROM mailboxes "
        "UNION ALL SELECT status_reason, '' FROM sequences_contacts "
        "UNION ALL SELECT f::text, '' FROM mail_facts f UNION ALL SELECT f::text, '' FROM enrolment_facts f "
        "UNION ALL SELECT o::text, '' FROM mail_outcomes o UNION ALL SELECT d::text, '' FROM outcome_days d"
    ).fetchall()
    shown = capfd.readouterr()
    places = {
        "queues and errors": "\n".join(written),
        "logs": caplog.text,
        "output": shown.out + shown.err,
        "Dagster": "\n".join(events + [str(one.run_config) + str(one.tags) for one in runs]),
        "frames": "\n".join(frames),
        "ledger": str(kept),
    }
    found = {
        place: [line[:400] for line in text.splitlines() if MARK in line.lower()]
        for place, text in places.items()
    }
    assert {place: lines for place, lines in found.items() if lines} == {}
