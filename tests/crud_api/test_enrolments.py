"""Tests enrolments: enrolling, refusals, pausing, resuming, ending, and thousands of contacts per request."""

from __future__ import annotations

import pytest

from sequence_store.domain.states import EnrolmentStatus
from tests.conftest import Services
from tests.crud_api.conftest import NOBODY, STEP, TODAY, Api

ENDED = ("completed", "replied", "bounced", "unsubscribed", "removed")


def put(api: Api, status: str) -> None:
    api.sql("UPDATE sequences_contacts SET status = %s", status)


def test_enrolment_starts_on_the_planning_day_plus_the_first_steps_delay(api: Api) -> None:
    later = {"stepNumber": 7, "mailSubject": "x", "mailContent": "x", "delayDays": 3}
    sequence = api.sequence(steps=[STEP | {"stepNumber": 9, "delayDays": 1}, later])
    contact = api.enrolled(sequence)
    assert api.enrolment(sequence, contact) == {
        "contactId": contact["id"],
        "status": "active",
        "statusReason": None,
        "round": 1,
        "currentStep": 1,
        "nextSend": "2026-03-13",
        "lastSend": None,
        "mailboxId": None,
    }


def test_deleted_first_step_does_not_delay(api: Api) -> None:
    sequence = api.sequence(steps=[STEP | {"delayDays": 5}, STEP | {"stepNumber": 2}])
    api.delete(f"/sequences/{sequence['id']}/steps/{sequence['steps'][0]['id']}")
    assert api.enrolment(sequence, api.enrolled(sequence))["nextSend"] == TODAY


def test_each_refusal_says_why_and_the_others_are_enrolled(api: Api, settings: Services) -> None:
    sequence = api.sequence()
    path = f"/sequences/{sequence['id']}/contacts"
    active, paused, fresh = api.enrolled(sequence), api.enrolled(sequence), api.contact()
    api.patch(f"{path}/{paused['id']}", {"status": "paused"})
    idle, suppressed = api.contact(isActive=False), api.contact(mailAddress="Gone@example.com")
    api.sql(
        "INSERT INTO suppressions (address_hmac, reason) VALUES (address_hmac('gone@example.com', %s), 'x')",
        settings.api.address_pads,
    )
    asked = [one["id"] for one in (active, paused, fresh, idle, suppressed, fresh)] + [NOBODY]
    report = api.made(path, {"contactIds": asked})
    assert report["enrolled"] == 1
    assert {refusal["contactId"]: refusal["message"] for refusal in report["refused"]} == {
        active["id"]: "is already in the sequence",
        paused["id"]: "is already in the sequence",
        idle["id"]: "is inactive",
        suppressed["id"]: "is suppressed: its address must not be mailed",
        NOBODY: "does not exist",
    }
    assert api.enrolment(sequence, active)["round"] == 1
    assert api.enrolment(sequence, fresh)["status"] == "active"


@pytest.mark.parametrize("status", ENDED)
def test_ended_enrolment_starts_anew_in_a_new_round(api: Api, status: str) -> None:
    sequence = api.sequence()
    contact = api.enrolled(sequence)
    api.sql(
        """UPDATE sequences_contacts SET status = %s, status_reason = 'x', current_step = 4, next_send = NULL,
           last_send = '2026-03-01', mailbox_id = 1""",
        status,
    )
    report = api.made(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
    assert report == {"enrolled": 1, "refused": []}
    anew = api.enrolment(sequence, contact)
    assert (anew["status"], anew["statusReason"], anew["round"], anew["currentStep"]) == (
        "active",
        None,
        2,
        1,
    )
    assert (anew["nextSend"], anew["lastSend"], anew["mailboxId"]) == (TODAY, None, None)


def test_sequence_without_steps_enrols_nobody(api: Api) -> None:
    sequence, contact = api.sequence(), api.contact()
    api.delete(f"/sequences/{sequence['id']}/steps/{sequence['steps'][0]['id']}")
    refused = api.post(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
    assert refused.status_code == 409
    assert refused.json() == {"message": "The sequence has no steps. Add a step before you enrol contacts."}


def test_pausing_keeps_the_day_and_resuming_sets_one_where_there_is_none(api: Api) -> None:
    sequence = api.sequence(steps=[STEP | {"delayDays": 4}])
    contact = api.enrolled(sequence)
    path = f"/sequences/{sequence['id']}/contacts/{contact['id']}"
    paused = api.patch(path, {"status": "paused"})
    assert (paused.status_code, paused.json()["status"], paused.json()["nextSend"]) == (
        200,
        "paused",
        "2026-03-14",
    )
    assert api.patch(path, {"status": "active"}).json()["nextSend"] == "2026-03-14"
    api.sql("UPDATE sequences_contacts SET status = 'paused', status_reason = 'x', next_send = NULL")
    resumed = api.patch(path, {"status": "active"}).json()
    assert (resumed["nextSend"], resumed["statusReason"]) == (TODAY, None)


ALLOWED = {
    *((before, after) for before in ("active", "paused") for after in ("active", "paused", "replied")),
    ("completed", "replied"),
    ("replied", "replied"),
}


@pytest.mark.parametrize("before", EnrolmentStatus)
def test_enrolment_changes_along_the_allowed_transitions_alone(api: Api, before: str) -> None:
    sequence = api.sequence()
    contact = api.enrolled(sequence)
    path = f"/sequences/{sequence['id']}/contacts/{contact['id']}"
    for after in ("paused", "active", "replied"):
        put(api, before)
        changed = api.patch(path, {"status": after})
        assert changed.status_code == (200 if (before, after) in ALLOWED else 409)
        assert api.enrolment(sequence, contact, status=after if changed.status_code == 200 else before)
    for bad in ("completed", "removed", "", None, 1):
        assert api.patch(path, {"status": bad}).status_code == 400


def test_reply_ends_the_enrolment(api: Api) -> None:
    sequence = api.sequence()
    contact = api.enrolled(sequence)
    replied = api.patch(f"/sequences/{sequence['id']}/contacts/{contact['id']}", {"status": "replied"}).json()
    assert (replied["status"], replied["nextSend"]) == ("replied", None)


def test_removed_contact_is_listed_only_where_asked_for(api: Api) -> None:
    sequence = api.sequence()
    contact, other = api.enrolled(sequence), api.enrolled(sequence)
    path = f"/sequences/{sequence['id']}/contacts"
    assert api.delete(f"{path}/{contact['id']}").status_code == 204
    assert api.delete(f"{path}/{contact['id']}").status_code == 204
    assert [one["contactId"] for one in api.get(path).json()] == [other["id"]]
    assert api.enrolment(sequence, contact, status="removed")["nextSend"] is None
    assert api.patch(f"{path}/{contact['id']}", {"status": "active"}).status_code == 409


def test_contact_outside_the_sequence_is_404(api: Api) -> None:
    sequence, contact = api.sequence(), api.contact()
    for who in (contact["id"], NOBODY):
        path = f"/sequences/{sequence['id']}/contacts/{who}"
        assert api.patch(path, {"status": "paused"}).status_code == 404
        assert api.delete(path).status_code == 404


def test_five_thousand_contacts_are_enrolled_in_one_request(api: Api) -> None:
    sequence = api.sequence()
    rows = api.sql(
        """INSERT INTO contacts (name, mail_address) SELECT 'n', 'c' || n || '@example.com'
           FROM generate_series(1, 5000) n RETURNING external_id::text"""
    )
    path = f"/sequences/{sequence['id']}/contacts"
    asked = {"contactIds": [row[0] for row in rows]}
    assert api.made(path, asked) == {"enrolled": 5000, "refused": []}
    assert api.sql("SELECT count(*), count(DISTINCT contact_id) FROM sequences_contacts") == [(5000, 5000)]
    assert len(api.made(path, asked)["refused"]) == 5000


def test_page_of_enrolments_merges_all_statuses_in_one_order(api: Api) -> None:
    sequence = api.sequence()
    contacts = [api.enrolled(sequence) for _ in range(len(EnrolmentStatus) * 2)]
    for contact, status in zip(contacts, [*EnrolmentStatus] * 2, strict=True):
        key = api.key("contacts", contact)
        api.sql("UPDATE sequences_contacts SET status = %s WHERE contact_id = %s", status, key)
    path = f"/sequences/{sequence['id']}/contacts"
    listed = [one for index, one in enumerate(contacts) if index not in (6, 13)]
    for page in range(4):
        shown = api.get(path, params={"size": 5, "page": page})
        assert [one["contactId"] for one in shown.json()] == [
            one["id"] for one in listed[page * 5 : page * 5 + 5]
        ]
        assert shown.headers["X-Total-Count"] == "12"
    first = api.get(path, params={"size": 5})
    following = api.get(path, params={"size": 5, "after": first.headers["X-Next-Cursor"]})
    assert following.json() == api.get(path, params={"size": 5, "page": 1}).json()


def test_thousands_leave_a_sequence_in_one_request(api: Api) -> None:
    sequence, outsider = api.sequence(), api.contact()
    rows = api.sql(
        """INSERT INTO contacts (name, mail_address) SELECT 'n', 'c' || n || '@example.com'
           FROM generate_series(1, 5000) n RETURNING external_id::text"""
    )
    path, ids = f"/sequences/{sequence['id']}/contacts", [row[0] for row in rows]
    api.made(path, {"contactIds": ids})
    assert api.delete(path, {"contactIds": [*ids, outsider["id"], NOBODY]}).status_code == 204
    assert api.sql("SELECT status, next_send, count(*) FROM sequences_contacts GROUP BY 1, 2") == [
        ("removed", None, 5000)
    ]
    assert api.get(path).json() == []


def test_enrolment_is_shown_also_when_it_has_ended(api: Api) -> None:
    sequence = api.sequence()
    contact = api.enrolled(sequence)
    path = f"/sequences/{sequence['id']}/contacts/{contact['id']}"
    assert api.get(path).json() == api.enrolment(sequence, contact)
    api.delete(path)
    assert api.get(path).json()["status"] == "removed"
    assert api.get(f"/sequences/{sequence['id']}/contacts/{NOBODY}").status_code == 404


@pytest.mark.parametrize("many", [False, True], ids=["repeated", "commas"])
def test_list_of_a_delete_is_taken_from_the_query_as_from_the_body(api: Api, many: bool) -> None:
    sequence = api.sequence()
    contacts = [api.enrolled(sequence)["id"] for _ in range(3)]
    boxes = [api.mailbox()["id"] for _ in range(3)]
    api.made(f"/sequences/{sequence['id']}/mailboxes", {"mailboxIds": boxes})
    for what, name, ids in (("contacts", "contactIds", contacts), ("mailboxes", "mailboxIds", boxes)):
        path = f"/sequences/{sequence['id']}/{what}"

        def left(path: str = path) -> list[str]:
            return [one.get("contactId", one.get("id")) for one in api.get(path).json()]

        for refused, words in (
            ({}, f"{name}: is required"),
            ({"params": {name: ""}}, f"{name}[0]: must be a UUID"),
            ({"params": {name: f"{ids[0]},x"}}, f"{name}[1]: must be a UUID"),
            ({"params": {"ids": ids[0]}}, "ids: is not a known name"),
            ({"content": b"{"}, "body: is not JSON"),
        ):
            answer = api.request("DELETE", path, **refused)  # type: ignore[arg-type]
            assert answer.status_code == 400, refused
            assert answer.json()["message"].startswith(words)
            assert left() == ids
        query = {name: ",".join(ids[:2])} if many else {name: ids[:2]}
        assert api.request("DELETE", path, params=query).status_code == 204
        assert left() == ids[2:]
        both = {"params": {name: ids[0]}, "json": {name: [ids[0], ids[2]]}}
        assert api.request("DELETE", path, **both).status_code == 204  # type: ignore[arg-type]
        assert left() == []
        assert api.delete(path, {name: ids}).status_code == 204
        assert left() == []
