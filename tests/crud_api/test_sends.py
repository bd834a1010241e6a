"""Tests the lists of past and planned sends, and of due steps that wait for a slot."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crud_api.conftest import STEP, Api

STEPS = [STEP, STEP | {"stepNumber": 2}, STEP | {"stepNumber": 3}]


def test_contacts_history_is_told_by_time_over_all_sequences(api: Api) -> None:
    one, other, mailbox = api.sequence(steps=STEPS), api.sequence(), api.mailbox()
    contact = api.enrolled(one)
    api.post(f"/sequences/{other['id']}/contacts", {"contactIds": [contact["id"]]})
    api.plan(one, contact, mailbox, step=1, at="2026-03-12 10:00Z")
    api.plan(other, contact, mailbox, at="2026-03-11 10:00Z", status="dispatched")
    api.plan(one, contact, mailbox, step=0, at="2026-03-10 10:00Z", status="sent")
    shown = api.get(f"/contacts/{contact['id']}/sends").json()
    assert [(send["sequenceId"], send["stepNumber"], send["status"]) for send in shown] == [
        (one["id"], 1, "sent"),
        (other["id"], 1, "dispatched"),
        (one["id"], 2, "planned"),
    ]
    first = shown[0]
    assert (first["contactId"], first["mailboxId"]) == (contact["id"], mailbox["id"])
    assert (first["stepId"], first["round"], first["dueDay"]) == (one["steps"][0]["id"], 1, "2026-03-10")
    assert (first["sendAt"], first["notAfter"]) == ("2026-03-10T10:00:00Z", "2026-03-10T12:00:00Z")


def test_due_contact_without_a_place_is_shown_with_the_reason_and_its_step(api: Api) -> None:
    sequence, mailbox = api.sequence(steps=STEPS), api.mailbox()
    contact, paused = api.enrolled(sequence), api.enrolled(sequence)
    api.patch(f"/sequences/{sequence['id']}/contacts/{paused['id']}", {"status": "paused"})
    api.plan(sequence, contact, mailbox, step=0, status="sent")
    api.plan(sequence, contact, mailbox, step=1, status="expired")
    api.sql(
        "INSERT INTO plan_deferrals"
        " SELECT sequence_id, contact_id, '2026-03-10', 'no_capacity' FROM sequences_contacts"
    )
    of_contact = {"params": {"contactId": contact["id"]}}
    for path, query in (
        (f"/contacts/{contact['id']}/sends", {}),
        (f"/sequences/{sequence['id']}/sends", of_contact),
    ):
        shown = api.get(path, **query).json()
        assert [(send["stepNumber"], send["status"], send["reason"]) for send in shown] == [
            (1, "sent", None),
            (2, "expired", None),
            (2, "waiting", "no_capacity"),
        ]
        waiting = shown[-1]
        assert (waiting["dueDay"], waiting["planDay"], waiting["sendAt"]) == (
            "2026-03-10",
            "2026-03-10",
            None,
        )
        assert waiting["stepId"] == sequence["steps"][1]["id"]
    [held] = api.get(f"/contacts/{paused['id']}/sends").json()
    assert (held["stepNumber"], held["status"], held["reason"]) == (1, "waiting", "enrolment_paused")


HOLDS = [
    (
        "PATCH",
        "/sequences/{sequence}/contacts/{contact}",
        {"status": "paused"},
        "waiting",
        "enrolment_paused",
    ),
    (
        "PATCH",
        "/sequences/{sequence}/contacts/{contact}",
        {"status": "replied"},
        "cancelled",
        "enrolment_replied",
    ),
    ("DELETE", "/sequences/{sequence}/contacts/{contact}", None, "cancelled", "enrolment_removed"),
    ("PATCH", "/contacts/{contact}", {"isActive": False}, "waiting", "contact_inactive"),
    ("DELETE", "/contacts/{contact}", None, "cancelled", "enrolment_removed"),
    ("PATCH", "/sequences/{sequence}", {"isActive": False}, "waiting", "sequence_inactive"),
    ("DELETE", "/sequences/{sequence}", None, "cancelled", "sequence_inactive"),
    ("PATCH", "/mailboxes/{mailbox}", {"isActive": False}, "waiting", "mailbox_inactive"),
    ("DELETE", "/mailboxes/{mailbox}", None, "waiting", "mailbox_inactive"),
    ("PATCH", "/mailboxes/{mailbox}", {"parkedUntil": "2099-01-01T00:00:00Z"}, "waiting", "mailbox_parked"),
    ("DELETE", "/sequences/{sequence}/steps/{step}", None, "cancelled", "step_deleted"),
    ("SQL", "SELECT pause_all('a fault')", None, "waiting", "all_paused"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "reason"), HOLDS, ids=range(len(HOLDS)))
def test_send_that_is_held_back_or_over_does_not_look_alive(
    api: Api, method: str, path: str, body: Any, status: str, reason: str
) -> None:
    sequence, mailbox = api.sequence(steps=STEPS), api.mailbox()
    contact, waits = api.enrolled(sequence), api.enrolled(sequence)
    api.plan(sequence, contact, mailbox, step=0, status="sent", at="2026-03-09 10:00Z")
    for step, live in enumerate(("planned", "dispatched"), start=1):
        api.plan(sequence, contact, mailbox, step=step, status=live)
    api.sql(
        "INSERT INTO plan_deferrals SELECT sequence_id, contact_id, '2026-03-10', 'no_capacity'"
        " FROM sequences_contacts WHERE contact_id = %s",
        api.key("contacts", waits),
    )
    ids = {"sequence": sequence["id"], "contact": contact["id"], "mailbox": mailbox["id"]}
    ids["step"] = sequence["steps"][1]["id"]
    paths = (
        f"/contacts/{contact['id']}/sends",
        f"/sequences/{sequence['id']}/sends?contactId={contact['id']}",
    )
    before = api.sql("SELECT status FROM sends ORDER BY send_at, step_id")
    assert before == [("sent",), ("planned",), ("dispatched",)]
    for where in paths:
        assert [one["status"] for one in api.get(where).json()] == ["sent", "planned", "dispatched"]
    if method == "SQL":
        api.sql(path)
    else:
        done = api.request(method, path.format(**ids), **({} if body is None else {"json": body}))
        assert done.status_code in (200, 204), done.text
    held = 1 if reason == "step_deleted" else 2
    for where in paths:
        shown = [(one["status"], one["reason"]) for one in api.get(where).json()]
        assert shown[0] == ("sent", None)
        assert shown[1 : 1 + held] == [(status, reason)] * held
        collected = [
            api.get(where, params={"size": 1, "page": page}).json()[0]["status"] for page in range(3)
        ]
        assert collected == [one for one, _ in shown]
    waiting = [one["reason"] for one in api.get(f"/contacts/{waits['id']}/sends").json()]
    if "sequence_inactive" in reason:
        assert waiting == (["sequence_inactive"] if method == "PATCH" else [])
    else:
        assert waiting == ["no_capacity"]


@pytest.mark.parametrize("how", ["after", "page"])
def test_pages_of_sends_show_every_row_once_in_one_order(api: Api, how: str) -> None:
    sequence, mailbox = api.sequence(steps=STEPS), api.mailbox()
    contacts = [api.enrolled(sequence) for _ in range(4)]
    for contact in contacts[:3]:
        for step in range(3):
            api.plan(sequence, contact, mailbox, step=step, at=f"2026-03-1{step} 10:00Z")
    api.sql(
        "INSERT INTO plan_deferrals SELECT sequence_id, contact_id, '2026-03-10', 'x' FROM sequences_contacts"
    )
    for path in (f"/sequences/{sequence['id']}/sends", f"/contacts/{contacts[0]['id']}/sends"):
        everything = api.get(path)
        assert everything.headers["X-Total-Count"] == str(len(everything.json()))
        assert "X-Next-Cursor" not in everything.headers
        for size in (1, 2, 3):
            collected, query, page = [], {"size": size}, 0
            while True:
                answer = api.get(path, params=query)
                collected += answer.json()
                if "X-Next-Cursor" not in answer.headers:
                    break
                page += 1
                query = {"size": size, "after": answer.headers["X-Next-Cursor"]}
                query = query if how == "after" else {"size": size, "page": page}
            assert collected == everything.json()


@pytest.mark.parametrize("how", ["after", "page"])
def test_contacts_history_is_turned_round(api: Api, how: str) -> None:
    sequence, other, mailbox = api.sequence(steps=STEPS), api.sequence(), api.mailbox()
    contact = api.enrolled(sequence)
    api.post(f"/sequences/{other['id']}/contacts", {"contactIds": [contact["id"]]})
    for step in range(3):
        api.plan(sequence, contact, mailbox, step=step, at=f"2026-03-1{step} 10:00Z")
    api.sql(
        "INSERT INTO plan_deferrals SELECT sequence_id, contact_id, '2026-03-10', 'x' FROM sequences_contacts"
    )
    path = f"/contacts/{contact['id']}/sends"
    forwards = api.get(path).json()
    assert len(forwards) == 5
    for size in (1, 2, 3, 50):
        collected, query, page = [], {"size": size, "sort": "-sendAt"}, 0
        while True:
            answer = api.get(path, params=query)
            collected += answer.json()
            if "X-Next-Cursor" not in answer.headers:
                break
            page += 1
            query |= {"after": answer.headers["X-Next-Cursor"]} if how == "after" else {"page": page}
        assert collected == forwards[::-1]


def test_deleted_sequence_keeps_its_history_and_lets_nobody_wait(api: Api) -> None:
    sequence, mailbox = api.sequence(steps=STEPS), api.mailbox()
    contact = api.enrolled(sequence)
    api.plan(sequence, contact, mailbox, status="sent")
    api.sql(
        "INSERT INTO plan_deferrals SELECT sequence_id, contact_id, '2026-03-10', 'x' FROM sequences_contacts"
    )
    api.delete(f"/sequences/{sequence['id']}")
    api.delete(f"/mailboxes/{mailbox['id']}")
    shown = api.get(f"/contacts/{contact['id']}/sends")
    assert [send["status"] for send in shown.json()] == ["sent"]
    assert shown.headers["X-Total-Count"] == "1"


def test_deleted_contact_and_step_keep_their_history(api: Api) -> None:
    sequence, mailbox = api.sequence(steps=STEPS), api.mailbox()
    contact = api.enrolled(sequence)
    api.plan(sequence, contact, mailbox, status="sent")
    api.delete(f"/sequences/{sequence['id']}/steps/{sequence['steps'][0]['id']}")
    api.delete(f"/contacts/{contact['id']}")
    for path in (f"/contacts/{contact['id']}/sends", f"/sequences/{sequence['id']}/sends"):
        [shown] = api.get(path).json()
        assert (shown["contactId"], shown["stepNumber"], shown["status"]) == (contact["id"], 1, "sent")
    api.delete(f"/sequences/{sequence['id']}")
    assert len(api.get(f"/sequences/{sequence['id']}/sends").json()) == 1


def test_history_is_narrowed_to_one_contact_and_to_who_waits(api: Api) -> None:
    sequence, mailbox = api.sequence(steps=STEPS), api.mailbox()
    one, other = api.enrolled(sequence), api.enrolled(sequence)
    api.plan(sequence, one, mailbox, status="sent")
    api.plan(sequence, other, mailbox, status="sent")
    api.sql(
        "INSERT INTO plan_deferrals SELECT sequence_id, contact_id, '2026-03-10', 'x' FROM sequences_contacts"
    )

    def shown(path: str, **query: str) -> list[tuple[str, str]]:
        answer = api.get(path, params=query)
        assert answer.headers["X-Total-Count"] == str(len(answer.json()))
        return [(send["contactId"], send["status"]) for send in answer.json()]

    path = f"/sequences/{sequence['id']}/sends"
    assert shown(path, contactId=one["id"]) == [(one["id"], "sent"), (one["id"], "waiting")]
    assert shown(path, waiting="true") == [(one["id"], "waiting"), (other["id"], "waiting")]
    assert shown(path, waiting="false") == [(one["id"], "sent"), (other["id"], "sent")]
    assert shown(f"/contacts/{one['id']}/sends", waiting="true") == [(one["id"], "waiting")]
    assert api.get(path, params={"contactId": "x"}).status_code == 400
    assert api.get(path, params={"contactId": sequence["id"]}).status_code == 404


def test_archived_sends_are_told_among_the_others(api: Api) -> None:
    sequence, other, mailbox = api.sequence(steps=STEPS), api.sequence(), api.mailbox()
    contact = api.enrolled(sequence)
    api.post(f"/sequences/{other['id']}/contacts", {"contactIds": [contact["id"]]})
    for step in (0, 1):
        api.plan(sequence, contact, mailbox, step=step, at=f"2026-03-1{step} 10:00Z", status="sent")
    api.plan(other, contact, mailbox, at="2026-03-12 10:00Z", status="sent")
    of_contact, of_sequence = f"/contacts/{contact['id']}/sends", f"/sequences/{sequence['id']}/sends"
    before = [api.get(path).json() for path in (of_contact, of_sequence)]
    api.sql("UPDATE sequences_contacts SET status = 'completed'")
    api.sql("UPDATE sends SET advanced_at = send_at WHERE sequence_id = %s", api.key("sequences", sequence))
    assert api.sql("SELECT archived FROM archive_sends('2026-01-01', '2026-05-01', 100)") == [(2,)]
    after = [api.get(path).json() for path in (of_contact, of_sequence)]
    not_kept = {"notAfter", "dispatchedAt", "transmittingAt", "smtpReply"}
    kept = [[{k: v for k, v in send.items() if k not in not_kept} for send in sends] for sends in before]
    assert [
        [{k: v for k, v in send.items() if k not in not_kept} for send in sends] for sends in after
    ] == kept
    assert [send["notAfter"] for send in after[0]] == [None, None, before[0][2]["notAfter"]]
