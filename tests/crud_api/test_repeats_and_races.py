"""Tests repeated requests and concurrent changes: Idempotency-Key, ETag and If-Match."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.crud_api.conftest import MAILBOX, STEP, Api

Creating = Callable[[Api], tuple[str, dict[str, Any], dict[str, Any]]]


def key(word: str | None = None) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": word or str(uuid4())}}


def a_sequence(_: Api) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return "/sequences", {"name": "Welcome", "steps": [STEP]}, {"name": "Other", "steps": [STEP]}


def a_contact(_: Api) -> tuple[str, dict[str, Any], dict[str, Any]]:
    body = {"name": "Ada", "mailAddress": "ada@example.com"}
    return "/contacts", body, body | {"name": "Eve"}


def a_mailbox(_: Api) -> tuple[str, dict[str, Any], dict[str, Any]]:
    body = {"address": "ada@example.com"} | MAILBOX
    return "/mailboxes", body, body | {"sendLimit": 1}


def a_suppression(_: Api) -> tuple[str, dict[str, Any], dict[str, Any]]:
    body = {"mailAddress": "ada@example.com", "reason": "asked by phone"}
    return "/suppressions", body, body | {"reason": "asked by mail"}


def a_step(api: Api) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return f"/sequences/{api.sequence()['id']}/steps", STEP | {"stepNumber": 2}, STEP | {"stepNumber": 3}


def an_enrolment(api: Api) -> tuple[str, dict[str, Any], dict[str, Any]]:
    path = f"/sequences/{api.sequence()['id']}/contacts"
    return path, {"contactIds": [api.contact()["id"]]}, {"contactIds": [api.contact()["id"]]}


def an_assignment(api: Api) -> tuple[str, dict[str, Any], dict[str, Any]]:
    path = f"/sequences/{api.sequence()['id']}/mailboxes"
    return path, {"mailboxIds": [api.mailbox()["id"]]}, {"mailboxIds": [api.mailbox()["id"]]}


@pytest.mark.parametrize(
    "creating", [a_sequence, a_contact, a_mailbox, a_step, a_suppression, an_enrolment, an_assignment]
)
def test_repeated_creation_is_carried_out_once_and_answered_alike(api: Api, creating: Creating) -> None:
    path, body, other = creating(api)
    once = key()
    first = api.post(path, body, **once)
    again = api.post(path, body, **once)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers.get("Location") == first.headers.get("Location")
    refused = api.post(path, other, **once)
    assert refused.status_code == 409
    assert refused.json() == {"message": "Idempotency-Key: was already used for a different request"}


def test_created_thing_is_found_where_location_says(api: Api) -> None:
    for path, body, _ in (a_sequence(api), a_contact(api), a_mailbox(api), a_step(api), a_suppression(api)):
        created = api.post(path, body)
        assert api.get(created.headers["Location"]).json() == created.json()


def test_failed_request_takes_no_key(api: Api) -> None:
    path, body, _ = a_contact(api)
    once = key()
    blocking = api.contact(mailAddress="ADA@example.com")
    assert api.post(path, body, **once).status_code == 409
    api.delete(f"/contacts/{blocking['id']}")
    assert api.post(path, body, **once).status_code == 201


def test_key_is_forgotten_after_a_day(api: Api) -> None:
    path, body, _ = a_step(api)
    once = key()
    api.post(path, body, **once)
    api.post(path, STEP | {"stepNumber": 9}, **key())
    api.sql("UPDATE idempotency_keys SET created = now() - interval '25 hours'")
    assert (
        api.post(path, body, **once).status_code == 409
    )  # the request is executed again and fails, because the step number is in use
    assert api.post(path, STEP | {"stepNumber": 3}, **once).status_code == 201
    assert api.sql("SELECT count(*) FROM idempotency_keys") == [(1,)]


def test_many_at_once_with_one_key_create_one(api: Api) -> None:
    path, body, _ = a_contact(api)
    once = key()

    async def many() -> list[httpx.Response]:
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return list(await asyncio.gather(*(client.post(path, json=body, **once) for _ in range(20))))

    answers = api.runner.run(many())
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert api.sql("SELECT count(*) FROM contacts") == [(1,)]
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 19


@pytest.mark.parametrize("bad", ["", "two words", "x" * 256, "é".encode().decode("latin-1")])
def test_key_that_is_no_word_is_refused_by_name(shared_api: Api, bad: str) -> None:
    refused = shared_api.post("/contacts", {}, headers={"Idempotency-Key": bad.encode("latin-1")})
    assert refused.status_code == 400
    assert "Idempotency-Key: " in refused.json()["message"]


def test_stored_answer_goes_with_the_contacts_address(api: Api) -> None:
    path, body, _ = a_contact(api)
    once = key()
    contact = api.post(path, body, **once).json()
    api.patch(f"/contacts/{contact['id']}", {"mailAddress": "another@example.com"})
    assert api.sql("SELECT answer FROM idempotency_keys") == [(None,)]
    refused = api.post(path, body, **once)
    assert (refused.status_code, api.sql("SELECT count(*) FROM contacts")) == (409, [(1,)])


def changing(api: Api) -> list[tuple[str, Any]]:
    """Return the path of a resource of each type that can be changed, with a change."""
    sequence = api.sequence()
    contact = api.enrolled(sequence)
    path = f"/sequences/{sequence['id']}"
    return [
        (f"{path}/steps/{sequence['steps'][0]['id']}", {"mailContent": "Changed"}),
        (f"{path}/contacts/{contact['id']}", {"status": "paused"}),
        (path, {"priority": 5}),
        (f"/mailboxes/{api.mailbox()['id']}", {"smtpSecret": "changed"}),
        (f"/contacts/{contact['id']}", {"name": "Changed"}),
    ]


def test_change_with_if_match_is_refused_once_the_thing_has_changed(api: Api) -> None:
    for path, change in changing(api):
        seen = api.get(path).headers["ETag"]
        assert api.get(path).headers["ETag"] == seen
        changed = api.patch(path, change, headers={"If-Match": seen})
        assert changed.status_code == 200
        assert changed.headers["ETag"] == api.get(path).headers["ETag"] != seen
        refused = api.patch(path, change, headers={"If-Match": seen})
        assert refused.status_code == 412
        assert refused.json()["message"].startswith("If-Match: the resource has changed since you read it.")
        for current in (f'"x", {changed.headers["ETag"]}', "*"):
            assert api.patch(path, change, headers={"If-Match": current}).status_code == 200
        assert api.patch(path, {}, headers={"If-Match": f"W/{seen}"}).status_code in (400, 412)


def test_deletion_with_if_match_spares_what_has_changed(api: Api) -> None:
    for path, change in changing(api)[2:]:
        seen = api.get(path).headers["ETag"]
        api.patch(path, change)
        assert api.request("DELETE", path, headers={"If-Match": seen}).status_code == 412
        seen = api.get(path).headers["ETag"]
        assert api.request("DELETE", path, headers={"If-Match": seen}).status_code == 204


def test_of_two_changes_of_the_same_state_one_wins(api: Api) -> None:
    path = f"/contacts/{api.contact()['id']}"
    seen = {"headers": {"If-Match": api.get(path).headers["ETag"]}}
    statuses: list[int] = []
    start = threading.Barrier(8)

    def change(number: int) -> None:
        with asyncio.Runner() as runner:
            client = Api(api.app, api.database, runner)
            start.wait()
            statuses.append(client.patch(path, {"name": f"n{number}"}, **seen).status_code)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [412] * 7
