"""Tests sequences and their steps."""

from __future__ import annotations

import pytest

from tests.crud_api.conftest import NOBODY, STEP, Api


def test_sequences_may_have_one_name_and_an_idempotency_key_guards_against_a_double(api: Api) -> None:
    first, other = api.sequence(name="Welcome"), api.sequence(name="Welcome")
    third = api.sequence()
    assert api.patch(f"/sequences/{third['id']}", {"name": "Welcome"}).status_code == 200
    ids = [first["id"], other["id"], third["id"]]
    assert [one["id"] for one in api.get("/sequences", params={"name": "Welcome"}).json()] == ids
    key = {"headers": {"Idempotency-Key": "once"}}
    twice = [
        api.post("/sequences", {"name": "Welcome", "steps": [STEP]}, **key).json()["id"] for _ in range(2)
    ]
    assert twice[0] == twice[1]
    assert api.get("/sequences").headers["X-Total-Count"] == "4"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_by_name_show_sequences_of_one_name_once(api: Api, size: int) -> None:
    for name in ("b", "a", "a", "c", "a", "b"):
        api.sequence(name=name)
    for sort in ("name", "-name"):
        everything = api.get("/sequences", params={"sort": sort}).json()
        collected, query = [], {"sort": sort, "size": size}
        while query is not None:
            answer = api.get("/sequences", params=query)
            collected += answer.json()
            following = answer.headers.get("X-Next-Cursor")
            query = following and {"sort": sort, "size": size, "after": following}
        assert collected == everything
        assert sorted(one["name"] for one in collected) == ["a", "a", "a", "b", "b", "c"]


def test_deleted_sequence_is_404_and_its_row_stays(api: Api) -> None:
    sequence = api.sequence()
    path = f"/sequences/{sequence['id']}"
    assert api.delete(path).status_code == 204
    for answer in (
        api.get(path),
        api.patch(path, {"priority": 1}),
        api.delete(path),
        api.post(f"{path}/steps", STEP | {"stepNumber": 2}),
        api.get(f"{path}/contacts"),
        api.get(f"{path}/mailboxes"),
    ):
        assert answer.status_code == 404
        assert answer.json() == {"message": f"No sequence has the id {sequence['id']}."}
    assert api.get("/sequences").json() == []
    assert api.sql("SELECT deleted_at IS NOT NULL FROM sequences") == [(True,)]


def test_patch_changes_only_what_it_names(api: Api) -> None:
    sequence = api.sequence(maxNewPerDay=10, priority=3)
    path = f"/sequences/{sequence['id']}"
    assert api.patch(path, {}).json() == sequence
    changed = api.patch(path, {"maxNewPerDay": None, "isActive": False}).json()
    assert changed == sequence | {
        "maxNewPerDay": None,
        "isActive": False,
        "lastUpdatedAt": changed["lastUpdatedAt"],
    }


def test_patch_refuses_null_where_a_value_must_be(api: Api) -> None:
    sequence = api.sequence()
    for field in ("name", "openTrackingEnabled", "isActive", "priority"):
        refused = api.patch(f"/sequences/{sequence['id']}", {field: None})
        assert refused.status_code == 400
        assert refused.json()["message"].startswith(f"{field}: ")
    assert api.patch(f"/sequences/{sequence['id']}", {"steps": []}).status_code == 400


def test_step_numbers_are_unique_among_live_steps(api: Api) -> None:
    sequence = api.sequence()
    path = f"/sequences/{sequence['id']}/steps"
    assert api.post(path, STEP).status_code == 409
    second = api.made(path, STEP | {"stepNumber": 2})
    taken = api.patch(f"{path}/{second['id']}", {"stepNumber": 1})
    assert (taken.status_code, taken.json()["message"][:11]) == (409, "stepNumber:")
    assert api.delete(f"{path}/{sequence['steps'][0]['id']}").status_code == 204
    assert api.patch(f"{path}/{second['id']}", {"stepNumber": 1}).json()["stepNumber"] == 1


def test_step_takes_null_only_where_it_may_be_absent(api: Api) -> None:
    sequence = api.sequence(steps=[STEP | {"stepName": "Opener", "delayDays": 2}])
    path = f"/sequences/{sequence['id']}/steps/{sequence['steps'][0]['id']}"
    changed = api.patch(path, {"stepName": None, "mailSubject": None}).json()
    assert (changed["stepName"], changed["mailSubject"], changed["delayDays"]) == (None, None, 2)
    for field in ("stepNumber", "mailContent", "delayDays"):
        assert api.patch(path, {field: None}).status_code == 400
    assert api.patch(path, {"delayDays": -1}).status_code == 400


def test_step_of_another_sequence_is_out_of_reach(api: Api) -> None:
    one, other = api.sequence(), api.sequence()
    path = f"/sequences/{one['id']}/steps/{other['steps'][0]['id']}"
    assert api.patch(path, {"mailContent": "x"}).status_code == 404
    assert api.delete(path).status_code == 204
    assert api.get(f"/sequences/{other['id']}").json()["steps"] == other["steps"]


def test_deleting_a_step_cancels_what_is_not_yet_transmitted(api: Api) -> None:
    sequence, mailbox = api.sequence(steps=[STEP, STEP | {"stepNumber": 2}]), api.mailbox()
    contacts = {
        status: api.enrolled(sequence) for status in ("planned", "dispatched", "transmitting", "sent")
    }
    for status, contact in contacts.items():
        api.plan(sequence, contact, mailbox, status=status)
    api.plan(sequence, contacts["sent"], mailbox, step=1)
    assert api.delete(f"/sequences/{sequence['id']}/steps/{sequence['steps'][0]['id']}").status_code == 204
    found = {
        (send["contactId"], send["stepNumber"]): (send["status"], send["reason"])
        for send in api.get(f"/sequences/{sequence['id']}/sends").json()
    }
    assert found == {
        (contacts["planned"]["id"], 1): ("cancelled", "step_deleted"),
        (contacts["dispatched"]["id"], 1): ("cancelled", "step_deleted"),
        (contacts["transmitting"]["id"], 1): ("transmitting", None),
        (contacts["sent"]["id"], 1): ("sent", None),
        (contacts["sent"]["id"], 2): ("planned", None),
    }


def test_mailboxes_are_assigned_and_withdrawn(api: Api) -> None:
    sequence, first, second = api.sequence(), api.mailbox(), api.mailbox()
    path = f"/sequences/{sequence['id']}/mailboxes"
    assigned = api.post(path, {"mailboxIds": [second["id"], first["id"], first["id"]]})
    assert (assigned.status_code, assigned.json()) == (201, [first, second])
    assert api.post(path, {"mailboxIds": [first["id"]]}).status_code == 201
    assert api.get(path).json() == [first, second]
    assert api.delete(path, {"mailboxIds": [first["id"]]}).status_code == 204
    assert api.delete(path, {"mailboxIds": [first["id"]]}).status_code == 204
    assert api.get(path).json() == [second]
    api.delete(f"/mailboxes/{second['id']}")
    assert api.get(path).json() == []


def test_unknown_mailbox_leaves_the_others_unassigned(api: Api) -> None:
    sequence, mailbox = api.sequence(), api.mailbox()
    path = f"/sequences/{sequence['id']}/mailboxes"
    unknown = api.post(path, {"mailboxIds": [mailbox["id"], NOBODY]})
    assert (unknown.status_code, unknown.json()) == (404, {"message": f"No mailbox has the id {NOBODY}."})
    assert api.get(path).json() == []
    for bad in ([], None, ["x"], [1], "x"):
        refused = api.post(path, {"mailboxIds": bad})
        assert (refused.status_code, refused.json()["message"][:10]) == (400, "mailboxIds")


def test_sequences_are_found_by_name_and_activity(api: Api) -> None:
    one, other = api.sequence(name="Welcome"), api.sequence(isActive=False)
    assert api.get("/sequences", params={"name": "Welcome"}).json() == [one]
    assert api.get("/sequences", params={"isActive": "false"}).json() == [other]
    assert api.get("/sequences", params={"name": "welcome"}).json() == []


def test_step_is_shown_by_its_own_route(api: Api) -> None:
    sequence, other = api.sequence(), api.sequence()
    step = sequence["steps"][0]
    path = f"/sequences/{sequence['id']}/steps"
    assert api.get(f"{path}/{step['id']}").json() == step
    assert api.get(f"/sequences/{other['id']}/steps/{step['id']}").status_code == 404
    api.delete(f"{path}/{step['id']}")
    assert api.get(f"{path}/{step['id']}").status_code == 404


def test_thousands_of_mailboxes_are_assigned_and_withdrawn_in_one_request(api: Api) -> None:
    sequence = api.sequence()
    rows = api.sql(
        """INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)
           SELECT 'm' || n || '@example.com', 1, '09:00', '17:00' FROM generate_series(1, 5000) n
           RETURNING external_id::text"""
    )
    path, body = f"/sequences/{sequence['id']}/mailboxes", {"mailboxIds": [row[0] for row in rows]}
    assert len(api.made(path, body)) == 5000
    assert api.delete(path, body).status_code == 204
    assert api.get(path).json() == []
