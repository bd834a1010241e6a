"""Tests the feed: its order, its cursor, its kinds and what it shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crud_api.stats.schemas import Stats
from sequence_store.domain.feed_kinds import FEED_KINDS
from sequence_store.domain.states import EventKind, FeedbackKind
from sequence_store.feed import drain_feed, remove_old_events
from tests.conftest import Database
from tests.crud_api.conftest import NOBODY, STEP, Api
from tests.crud_api.test_tracking import key_of


@pytest.fixture
def mailed(api: Api) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return a sequence, a contact and a mailbox, from which the first mail is being transmitted."""
    sequence, mailbox = api.sequence(steps=[STEP, STEP | {"stepNumber": 2}]), api.mailbox()
    contact = api.enrolled(sequence, mailAddress="ada@people.example")
    api.plan(sequence, contact, mailbox, status="transmitting")
    return sequence, contact, mailbox


def finish(api: Api, status: str = "sent") -> None:
    api.sql(
        "UPDATE sends SET status = %s, finished_at = clock_timestamp() WHERE status = 'transmitting'", status
    )


def report(api: Api, sequence: Any, contact: Any, kind: str, detail: dict[str, Any] | None = None) -> str:
    [(verdict,)] = api.sql(
        "SELECT record_feedback(%s, %s, %s, %s, %s, %s::jsonb, interval '1 day',"
        " decode(repeat('00', 128), 'hex'))",
        *key_of(api, sequence, contact),
        kind,
        json.dumps(detail or {}),
    )
    return str(verdict)


def feed(api: Api, **query: Any) -> list[dict[str, Any]]:
    response = api.get("/events", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def test_feed_shows_what_happened_to_a_mail_in_order_by_public_ids(api: Api, mailed: Any) -> None:
    sequence, contact, mailbox = mailed
    finish(api)
    report(api, sequence, contact, "reply", {"subject": "Re: ada@people.example", "code": 7})
    events = feed(api)
    assert [(one["position"], one["kind"]) for one in events] == [(1, "sent"), (2, "replied")]
    for event in events:
        assert event["sequenceId"] == sequence["id"]
        assert event["contactId"] == contact["id"]
        assert event["stepId"] == sequence["steps"][0]["id"]
        assert event["mailboxId"] == mailbox["id"]
        assert (event["stepNumber"], event["round"], event["machine"]) == (1, 1, None)
    assert events[1]["detail"] == {"code": 7}, "a text that a person wrote stays in the database"


def test_cursor_goes_on_where_a_page_ended_also_after_an_empty_one(api: Api, mailed: Any) -> None:
    sequence, contact, _ = mailed
    finish(api)
    for number in range(3):
        report(api, sequence, contact, "auto_reply", {"code": number})
    first = api.get("/events", params={"size": 2})
    assert [one["position"] for one in first.json()] == [1, 2]
    second = api.get("/events", params={"size": 2, "after": first.headers["X-Next-Cursor"]})
    assert [one["position"] for one in second.json()] == [3, 4]
    third = api.get("/events", params={"after": second.headers["X-Next-Cursor"]})
    assert (third.json(), third.headers["X-Next-Cursor"]) == ([], "4")
    other = api.get("/events", params={"kinds": "clicked"})
    assert (other.json(), other.headers["X-Next-Cursor"]) == ([], "4"), "a filtered reader moves on, too"


def test_kinds_select_events_and_an_unknown_kind_is_named(api: Api, mailed: Any) -> None:
    sequence, contact, _ = mailed
    finish(api)
    report(api, sequence, contact, "bounce")
    assert [one["kind"] for one in feed(api, kinds="bounced")] == ["bounced"]
    assert [one["kind"] for one in feed(api, kinds=" sent, bounced,sent")] == ["sent", "bounced"]
    assert [one["kind"] for one in feed(api, kinds=["bounced", "sent"])] == ["sent", "bounced"]
    for kinds in ("", "delivered", "sent,delivered", "SENT", ","):
        refused = api.get("/events", params={"kinds": kinds})
        assert refused.status_code == 400, kinds
        assert "kinds" in refused.json()["message"] or "is no kind" in refused.json()["message"]


@pytest.mark.parametrize("after", ["", "-1", "x", "1.5", str(2**63)])
def test_after_that_is_no_position_is_refused(api: Api, after: str) -> None:
    refused = api.get("/events", params={"after": after})
    assert refused.status_code == 400
    assert "after" in refused.json()["message"]


def test_position_beyond_the_feed_is_an_error_because_the_database_was_restored(
    api: Api, mailed: Any
) -> None:
    finish(api)
    assert feed(api, after=1) == []
    refused = api.get("/events", params={"after": 2})
    assert refused.status_code == 409
    assert "restored" in refused.json()["message"]


def test_removed_events_are_an_error_for_a_reader_that_missed_them(
    api: Api, database: Database, mailed: Any
) -> None:
    sequence, contact, _ = mailed
    finish(api)
    report(api, sequence, contact, "auto_reply")
    report(api, sequence, contact, "reply")
    assert len(feed(api)) == 3
    api.sql("UPDATE send_events SET at = at - interval '40 days' WHERE kind <> 'reply'")
    api.sql("UPDATE feed SET facts_position = 3")
    with database.connect("pipeline") as connection:
        assert remove_old_events(connection, 30) == 2
    assert [one["position"] for one in feed(api)] == [3]
    assert [one["position"] for one in feed(api, after=2)] == [3]
    gone = api.get("/events", params={"after": 1})
    assert gone.status_code == 410
    assert "mail_facts" in gone.json()["message"]
    assert api.sql("SELECT outcome, auto_replied_at IS NOT NULL FROM mail_outcomes") == [("sent", True)]


def test_erased_contact_has_no_id_in_the_feed(api: Api, mailed: Any) -> None:
    finish(api)
    api.post(f"/contacts/{mailed[1]['id']}/erasure")
    assert {one["contactId"] for one in feed(api)} == {None}


def test_link_waits_for_its_verdict_and_holds_later_events_of_its_contact_only(
    api: Api, database: Database, mailed: Any
) -> None:
    sequence, contact, mailbox = mailed
    finish(api)
    other = api.enrolled(sequence)
    api.plan(sequence, other, mailbox, status="transmitting")
    api.sql("SELECT record_link(%s, %s, %s, %s, 'clicked', 0, false, 100)", *key_of(api, sequence, contact))
    report(api, sequence, contact, "auto_reply")
    finish(api)
    assert [(one["kind"], one["contactId"]) for one in feed(api)] == [
        ("sent", contact["id"]),
        ("sent", other["id"]),
    ]
    with database.connect("pipeline") as connection:
        assert drain_feed(connection, hold_seconds=0) == 2
    assert [one["kind"] for one in feed(api, after=2)] == ["clicked", "auto_replied"]


def test_every_kind_has_one_name_in_the_feed(api: Api) -> None:
    stored = [str(kind) for kind in (*EventKind, *FeedbackKind) if kind is not FeedbackKind.DELIVERY]
    names = {api.sql("SELECT feed_kind(%s)", kind)[0][0] for kind in stored}
    assert names == FEED_KINDS


def test_completed_enrolment_is_an_event(api: Api, mailed: Any) -> None:
    api.sql("UPDATE sequences_contacts SET status = 'completed'")
    api.sql("UPDATE sequences_contacts SET status = 'completed'")
    [event] = feed(api, kinds="completed")
    assert (event["contactId"], event["stepId"]) == (mailed[1]["id"], None)


@pytest.mark.parametrize("by", ["sequence", "step", "mailbox", "day"])
def test_stats_count_a_mail_once_on_its_day(api: Api, mailed: Any, by: str) -> None:
    sequence, contact, _ = mailed
    finish(api)
    for kind in ("reply", "auto_reply", "reply"):
        report(api, sequence, contact, kind)
    feed(api)
    [row] = api.get("/stats", params={"by": by, "sequenceId": sequence["id"], "to": "2026-03-10"}).json()
    assert (row["mails"], row["sent"], row["replied"], row["bounced"]) == (1, 1, 1, 0)
    assert (row["enrolments"], row["enrolmentsReplied"]) == (1, 1)
    assert (row["repliedPerMail"], row["repliedPerEnrolment"], row["openedPerMail"]) == (1.0, 1.0, 0.0)
    assert set(row) == set(Stats.model_validate(row).model_dump(by_alias=True)), "as documented"
    named = {"sequence": "sequenceId", "step": "stepId", "mailbox": "mailboxId", "day": "day"}[by]
    assert row[named] is not None
    assert api.get("/stats", params={"by": by, "from": "2026-03-11", "to": "2026-03-12"}).json() == []


def test_outcome_that_changes_is_taken_out_of_the_counts(api: Api, mailed: Any) -> None:
    finish(api, "unknown")
    feed(api)
    counted = {"by": "day", "to": "2026-03-10"}
    [row] = api.get("/stats", params=counted).json()
    assert (row["mails"], row["unknown"], row["enrolments"]) == (1, 1, 1)
    api.sql("SELECT resolve_send(%s, %s, %s, %s, 'retry')", *key_of(api, *mailed[:2]))
    feed(api)
    [row] = api.get("/stats", params=counted).json()
    assert (row["mails"], row["unknown"], row["enrolments"], row["repliedPerMail"]) == (0, 0, 0, None)


def test_stats_by_day_show_the_latest_days_in_order(api: Api) -> None:
    api.sql(
        "INSERT INTO outcome_days (grain, send_day, sequence_id, step_id, mailbox_id, mails)"
        " SELECT 'day', date '2020-01-01' + n, 0, 0, 0, 1 FROM generate_series(0, 1000) n"
    )
    rows = api.get("/stats", params={"by": "day", "from": "2000-01-01", "to": "2030-01-01"}).json()
    days = [row["day"] for row in rows]
    assert (len(days), days[0], days[-1]) == (1_000, "2020-01-02", "2022-09-27")
    assert days == sorted(days)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"by": "contact"}, 400),
        ({"from": "2026-03-11", "to": "2026-03-10"}, 400),
        ({"from": "2000-01-01", "to": "2026-03-10"}, 200),
        ({"from": "2000-01-01", "by": "day"}, 200),
        *(({name: value}, 400) for name in ("from", "to") for value in ("", "yesterday", "0", "1773100800")),
        ({"to": "2026-03-10T00:00:00"}, 400),
        ({"from": "0001-01-01", "to": "0001-01-02"}, 200),
        ({"to": "9999-12-31"}, 200),
        ({"sequenceId": ""}, 400),
        ({"by": ""}, 400),
        ({"sequenceId": NOBODY}, 400),
        ({"unknown": "1"}, 400),
    ],
)
def test_stats_refuse_what_they_cannot_count(api: Api, query: dict[str, str], status: int) -> None:
    assert api.get("/stats", params=query).status_code == status
