"""Tests of creating and changing contacts by their address, and of the filters of their list."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.crud_api.conftest import NOBODY, Api


def put(api: Api, address: str, body: dict[str, Any]) -> Any:
    return api.request("PUT", "/contacts", params={"mailAddress": address}, json=body)


def test_contact_is_created_by_its_address_and_then_changed(api: Api) -> None:
    new = put(api, "Ada@Example.com", {"name": "Ada", "attributes": {"a": 1}})
    assert (new.status_code, new.headers["Location"]) == (201, f"/contacts/{new.json()['id']}")
    changed = put(api, "ada@example.com", {"name": "Ada Lovelace"})
    assert changed.status_code == 200
    shown = changed.json()
    assert (shown["id"], shown["name"], shown["mailAddress"], shown["attributes"]) == (
        new.json()["id"],
        "Ada Lovelace",
        "Ada@Example.com",
        {"a": 1},
    )
    assert put(api, "ada@example.com", {"name": "Ada Lovelace"}).json() == shown
    assert put(api, "ada@example.com", {"attributes": {"b": 2}}).json()["attributes"] == {"b": 2}
    assert len(api.get("/contacts").json()) == 1


def test_deleted_contact_is_not_changed_but_created_again(api: Api) -> None:
    first = put(api, "ada@example.com", {}).json()
    api.delete(f"/contacts/{first['id']}")
    again = put(api, "ada@example.com", {})
    assert (again.status_code, again.json()["id"] != first["id"]) == (201, True)


@pytest.mark.parametrize(
    ("query", "body", "message"),
    [
        ({}, {}, "mailAddress: is required"),
        ({"mailAddress": "ada"}, {}, "mailAddress: must be a mail address"),
        ({"mailAddress": "ada@example.com"}, {"name": 1}, "name: must be a string"),
        (
            {"mailAddress": "ada@example.com"},
            {"mailAddress": "b@example.com"},
            "mailAddress: is not a known name",
        ),
        ({"mailAddress": "ada@example.com"}, {"name": "a\nb"}, "name: must be one line"),
    ],
)
def test_bad_request_by_address_is_400_and_changes_nothing(
    api: Api, query: dict[str, str], body: dict[str, Any], message: str
) -> None:
    answer = api.request("PUT", "/contacts", params=query, json=body)
    assert (answer.status_code, answer.json()["message"].startswith(message)) == (400, True), answer.text
    assert api.get("/contacts").json() == []


def test_concurrent_requests_create_one_contact(api: Api) -> None:
    from crud_api.contacts.schemas import ContactUpsert
    from crud_api.contacts.upserts import upsert

    store, pads = api.app.state.database, api.app.state.settings.address_pads
    created: list[bool] = []
    barrier = threading.Barrier(4)

    def create() -> None:
        barrier.wait()
        with store.transaction() as connection:
            _, is_new = upsert(connection, "ada@example.com", ContactUpsert(name="Ada"), pads)
        created.append(is_new)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False, False, False, True]
    assert len(api.get("/contacts").json()) == 1


def test_each_row_of_a_list_has_its_result(api: Api) -> None:
    known = api.contact(name="Ada", mailAddress="ada@example.com", attributes={"a": 1})
    same = api.contact(name="Eve", mailAddress="eve@example.com")
    rows = [
        {"mailAddress": "ADA@example.com", "name": "Ada Lovelace"},
        {"mailAddress": "no address"},
        {"name": "Nobody"},
        {"mailAddress": "new@example.com", "name": "New"},
        {"mailAddress": "New@example.com", "attributes": {"city": "London"}},
        5,
        {"mailAddress": "eve@example.com", "name": "Eve"},
        {"mailAddress": "x@example.com", "surprise": 1},
    ]
    answer = api.post("/contacts/bulk", {"contacts": rows})
    assert answer.status_code == 200
    shown = answer.json()
    assert [one["outcome"] for one in shown["results"]] == [
        "changed", "refused", "refused", "created", "merged", "refused", "unchanged", "refused",
    ]  # fmt: skip
    assert [one["index"] for one in shown["results"]] == list(range(8))
    assert [shown["results"][n]["message"] for n in (1, 2, 5, 7)] == [
        "mailAddress: must be a mail address, such as ada@example.com",
        "mailAddress: is required",
        "body: must be a JSON object",
        "surprise: is not a known name",
    ]
    assert (shown["results"][0]["id"], shown["results"][6]["id"]) == (known["id"], same["id"])
    assert {name: shown[name] for name in ("created", "changed", "unchanged", "merged", "refused")} == {
        "created": 1, "changed": 1, "unchanged": 1, "merged": 1, "refused": 4,
    }  # fmt: skip
    [new] = api.get("/contacts", params={"mailAddress": "new@example.com"}).json()
    assert (new["name"], new["attributes"]) == ("New", {"city": "London"})
    assert api.get(f"/contacts/{known['id']}").json()["attributes"] == {"a": 1}


def test_list_has_at_most_a_thousand_contacts(api: Api) -> None:
    rows = [{"mailAddress": f"n{n}@example.com"} for n in range(1_001)]
    refused = api.post("/contacts/bulk", {"contacts": rows})
    assert (refused.status_code, refused.json()["message"]) == (
        400,
        "contacts: must have at most 1000 entries",
    )
    assert api.post("/contacts/bulk", {"contacts": []}).status_code == 400
    assert api.post("/contacts/bulk", {"contacts": rows[:1_000]}).json()["created"] == 1_000
    assert api.post("/contacts/bulk", rows[:2]).json()["unchanged"] == 2


def found(api: Api, **query: Any) -> list[str]:
    answer = api.get("/contacts", params=query)
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()]


def test_contacts_are_found_by_part_of_name_or_address_and_by_attribute(api: Api) -> None:
    api.contact(
        name="Ada Lovelace", mailAddress="ada@analytical.example", attributes={"city": "London", "n": 5}
    )
    api.contact(name="Grace 100%", mailAddress="grace@navy.example", attributes={"city": "New York"})
    api.contact(name="Jürgen", mailAddress="j@bücher.example", isActive=False)
    assert found(api, search="LOVE") == ["Ada Lovelace"]
    assert found(api, search="navy.ex") == ["Grace 100%"]
    assert found(api, search="0%") == ["Grace 100%"]
    assert found(api, search="_") == []
    assert found(api, search="JÜRG") == ["Jürgen"]
    assert found(api, search="bücher") == ["Jürgen"]
    assert found(api, attribute="city:London") == ["Ada Lovelace"]
    assert found(api, attribute="n:5") == ["Ada Lovelace"]
    assert found(api, attribute="city") == ["Ada Lovelace", "Grace 100%"]
    assert found(api, attribute=["city", "n"]) == ["Ada Lovelace"]
    assert found(api, search="e", isActive="false") == ["Jürgen"]


def test_contacts_that_changed_are_found_by_time(api: Api) -> None:
    old = api.contact(name="Old")
    api.contact(name="Other")
    api.sql("UPDATE contacts SET created = now() - interval '2 days'")
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert found(api, changedSince=since) == []
    api.patch(f"/contacts/{old['id']}", {"isActive": False})
    api.contact(name="New")
    assert found(api, changedSince=since) == ["Old", "New"]
    assert found(api, changedSince=since, size=1, page=1) == ["New"]
    assert found(api, changedSince="2026-03-10T09:00:00 00:00", size=1) == ["Old"]  # a + in a URL is a blank
    for value in ("yesterday", "1700000000", "2026-03-10", ""):
        answer = api.get("/contacts", params={"changedSince": value})
        assert (answer.status_code, answer.json()["message"].startswith("changedSince: ")) == (400, True)


def test_sequences_of_a_contact_are_listed(api: Api) -> None:
    first, second = api.sequence(name="First"), api.sequence(name="Second")
    contact = api.enrolled(first)
    api.made(f"/sequences/{second['id']}/contacts", {"contactIds": [contact["id"]]})
    api.delete(f"/sequences/{second['id']}/contacts/{contact['id']}")
    path = f"/contacts/{contact['id']}/enrolments"
    shown = api.get(path).json()
    assert [(one["sequenceId"], one["sequenceName"], one["status"]) for one in shown] == [
        (first["id"], "First", "active"),
        (second["id"], "Second", "removed"),
    ]
    assert [one["sequenceName"] for one in api.get(path, params={"status": "active"}).json()] == ["First"]
    assert [one["sequenceName"] for one in api.get(path, params={"size": 1, "page": 1}).json()] == ["Second"]
    assert api.get(f"/contacts/{NOBODY}/enrolments").status_code == 404
