"""Tests contacts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crud_api.conftest import Api


def test_contact_comes_back_as_it_was_entered(api: Api) -> None:
    body = {
        "name": "Grace Hopper",
        "mailAddress": "Grace.Hopper+list@Example.com",
        "isActive": False,
        "attributes": {"company": "Navy", "score": 1.5, "tags": ["a", None, True], "deep": {"x": {"y": 1}}},
    }
    contact = api.made("/contacts", body)
    told = {"id": contact["id"], "createdAt": contact["createdAt"], "lastUpdatedAt": None}
    told |= {"suppressed": False, "suppressionReason": None, "suppressedAt": None}
    told |= {"holdUntil": None, "holdReason": None, "repliedAt": None, "stoppedAt": None}
    assert contact == body | told
    assert api.get(f"/contacts/{contact['id']}").json() == contact


def test_address_is_unique_without_regard_to_case_among_live_contacts(api: Api) -> None:
    contact, other = api.contact(mailAddress="ada@example.com"), api.contact()
    taken = api.post("/contacts", {"name": "Ada", "mailAddress": "ADA@EXAMPLE.COM"})
    assert (taken.status_code, taken.json()) == (
        409,
        {"message": "mailAddress: is already used by another contact"},
    )
    assert api.patch(f"/contacts/{other['id']}", {"mailAddress": "Ada@example.com"}).status_code == 409
    api.delete(f"/contacts/{contact['id']}")
    assert api.contact(mailAddress="ADA@example.com")["id"] != contact["id"]


def test_contacts_are_found_by_address_and_activity(api: Api) -> None:
    active, idle = api.contact(), api.contact(isActive=False)
    assert api.get("/contacts", params={"mailAddress": active["mailAddress"].upper()}).json() == [active]
    assert api.get("/contacts", params={"isActive": "false"}).json() == [idle]
    assert api.get("/contacts", params={"isActive": "true", "mailAddress": idle["mailAddress"]}).json() == []


def test_patch_replaces_attributes_as_a_whole(api: Api) -> None:
    contact = api.contact(attributes={"a": 1, "b": 2})
    changed = api.patch(f"/contacts/{contact['id']}", {"attributes": {"c": 3}}).json()
    assert changed["attributes"] == {"c": 3}
    assert changed["name"] == contact["name"]
    for field in ("name", "mailAddress", "isActive", "attributes"):
        assert api.patch(f"/contacts/{contact['id']}", {field: None}).status_code == 400


def nested(depth: int) -> dict[str, Any]:
    return {"x": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    "bad",
    [[], "x", {"a": "\x00"}, {"\x00": 1}, {"a": 2**64}, nested(20), {"a": "x" * 70_000}, {"a": ["\x00"]}],
    ids=["list", "string", "nul", "nul in name", "huge number", "deep", "large", "nul in list"],
)
def test_attributes_that_postgres_could_not_give_back_are_refused(shared_api: Api, bad: Any) -> None:
    refused = shared_api.post(
        "/contacts", {"name": "Ada", "mailAddress": "ada@example.com", "attributes": bad}
    )
    assert (refused.status_code, refused.json()["message"][:11]) == (400, "attributes:")


def test_deleted_contact_is_404_and_leaves_its_sequences(api: Api) -> None:
    sequence = api.sequence()
    contact = api.enrolled(sequence)
    path = f"/contacts/{contact['id']}"
    assert api.delete(path).status_code == 204
    for answer in (api.get(path), api.patch(path, {"name": "x"}), api.delete(path)):
        assert answer.status_code == 404
    removed = api.enrolment(sequence, contact, status="removed")
    assert (removed["statusReason"], removed["nextSend"]) == ("contact_deleted", None)
    again = api.post(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]}).json()
    assert again == {"enrolled": 0, "refused": [{"contactId": contact["id"], "message": "does not exist"}]}
