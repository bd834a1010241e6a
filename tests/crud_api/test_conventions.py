"""Tests the conventions of all routes: paging, errors, limits, headers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.crud_api.conftest import NOBODY, STEP, Api


def test_pages_by_number_and_by_cursor_show_the_same(api: Api) -> None:
    ids = [api.contact()["id"] for _ in range(5)]
    first = api.get("/contacts", params={"size": 2})
    assert [one["id"] for one in first.json()] == ids[:2]
    assert first.headers["X-Total-Count"] == "5"
    following = api.get("/contacts", params={"size": 2, "after": first.headers["X-Next-Cursor"]})
    assert following.json() == api.get("/contacts", params={"size": 2, "page": 1}).json()
    skipping = api.get("/contacts", params={"size": 1, "page": 1, "after": first.headers["X-Next-Cursor"]})
    assert [one["id"] for one in skipping.json()] == [ids[3]]
    last = api.get("/contacts", params={"size": 2, "page": 2})
    assert [one["id"] for one in last.json()] == ids[4:]
    assert "X-Next-Cursor" not in last.headers
    assert api.get("/contacts", params={"page": 3, "size": 2}).json() == []


def test_page_has_fifty_items_unless_asked_for_others(api: Api) -> None:
    api.sql(
        "INSERT INTO contacts (name, mail_address) SELECT 'n', n || '@x.y' FROM generate_series(1, 120) n"
    )
    assert len(api.get("/contacts").json()) == 50
    assert len(api.get("/contacts?size=100").json()) == 100
    assert len(api.get("/contacts?size=&page=").json()) == 50


def test_total_is_told_up_to_ten_thousand(api: Api) -> None:
    api.sql(
        "INSERT INTO contacts (name, mail_address) SELECT 'n', n || '@x.y' FROM generate_series(1, 10000) n"
    )
    assert api.get("/contacts").headers["X-Total-Count"] == "10000"
    assert not api.get("/contacts").headers["X-Next-Cursor"].endswith("_long")
    api.contact()
    first = api.get("/contacts")
    assert "X-Total-Count" not in first.headers
    following = api.get("/contacts", params={"after": first.headers["X-Next-Cursor"]})
    assert following.json() == api.get("/contacts", params={"page": 1}).json()
    assert "X-Total-Count" not in following.headers


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("size=0", "size"),
        ("size=101", "size"),
        ("size=-1", "size"),
        ("size=ten", "size"),
        ("size=1e400", "size"),
        ("size=NaN", "size"),
        (f"size={10**40}", "size"),
        ("page=-1", "page"),
        ("page=1000000000", "page"),
        ("after=x", "after"),
        ("after=%00", "after"),
        ("after=1%F0%9F%92%A3", "after"),
        ("after=1_2", "after"),
        ("after=", "after"),
        ("after=1%0A", "after"),
        (f"after={10**18}", "after"),
        ("sort=name", "sort"),
        ("sort=--createdAt", "sort"),
        ("order=1;DROP TABLE contacts", "order"),
        ("isActive=perhaps", "isActive"),
        ("mailAddress=%00", "mailAddress"),
    ],
)
def test_bad_query_is_refused_naming_the_parameter(shared_api: Api, query: str, field: str) -> None:
    refused = shared_api.get(f"/contacts?{query}")
    assert refused.status_code == 400
    assert refused.json()["message"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800", "steps": []}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"priority": 1e400}',
        b'{"priority": ' + b"9" * 10_000 + b"}",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        b'\xef\xbb\xbf{"name": 1}',
        json.dumps({"name": "x"}).encode("utf-16"),
    ],
)
def test_body_that_is_no_json_object_is_400_with_a_message(shared_api: Api, body: bytes) -> None:
    refused = shared_api.request("POST", "/sequences", content=body)
    assert refused.status_code == 400
    assert set(refused.json()) == {"message"}
    assert refused.json()["message"]


def test_body_that_is_no_json_is_told_where_it_ends_to_be(shared_api: Api) -> None:
    refused = shared_api.request("POST", "/sequences", content=b'{"name": }')
    assert refused.json()["message"] == "body: is not JSON: expected value at line 1 column 10"


def test_message_names_each_field_and_repeats_no_input(shared_api: Api) -> None:
    refused = shared_api.post("/contacts", {"mailAddress": "someone at example.com", "isActive": 1})
    assert refused.json()["message"] == (
        "mailAddress: must be a mail address, such as ada@example.com; isActive: must be true or false"
    )


def test_body_above_two_mebibytes_is_413_whether_or_not_its_length_is_told(shared_api: Api) -> None:
    content = json.dumps({"name": "x", "steps": [STEP | {"mailContent": "x" * 3_000_000}]}).encode()

    async def chunks() -> Any:
        for start in range(0, len(content), 65_536):
            yield content[start : start + 65_536]

    for body in (content, chunks()):
        refused = shared_api.request("POST", "/sequences", content=body)
        assert refused.status_code == 413
        assert refused.json() == {
            "message": "body: is larger than 2097152 bytes. Split it into several requests."
        }


def test_what_the_product_decides_is_no_field_of_any_body(shared_api: Api) -> None:
    sequence, contact, mailbox = shared_api.sequence(), shared_api.contact(), shared_api.mailbox()
    shared_api.post(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
    for path, fields in {
        f"/sequences/{sequence['id']}": ("id", "createdAt", "lastUpdatedAt", "deleted"),
        f"/sequences/{sequence['id']}/contacts/{contact['id']}": (
            "currentStep",
            "round",
            "nextSend",
            "mailboxId",
        ),
        f"/contacts/{contact['id']}": ("id", "addressHmac", "tenantId"),
        f"/mailboxes/{mailbox['id']}": ("id", "used", "allowed", "state"),
    }.items():
        for field in fields:
            refused = shared_api.patch(path, {field: 7})
            assert refused.status_code == 400, (path, field)
            assert f"{field}: is not a known name" in refused.json()["message"], (path, refused.text)


def test_no_other_site_is_let_in(shared_api: Api) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    for method in ("GET", "OPTIONS"):
        answer = shared_api.request(method, "/contacts", headers=asked)
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.status_code == 405


def test_every_answer_carries_a_request_id_the_clients_own_where_it_is_plain(shared_api: Api) -> None:
    assert (
        shared_api.get("/sequences", headers={"X-Request-Id": "abc-1.2_3"}).headers["X-Request-Id"]
        == "abc-1.2_3"
    )
    for strange in ("a b", "x" * 65, "ada@example.com", ""):
        given = shared_api.get("/sequences/nothing", headers={"X-Request-Id": strange}).headers[
            "X-Request-Id"
        ]
        assert given != strange
        assert len(given) == 32
    assert shared_api.get("/nowhere").headers["X-Content-Type-Options"] == "nosniff"


def test_unknown_route_and_method_answer_in_the_same_form(shared_api: Api) -> None:
    assert shared_api.get("/nowhere").status_code == 404
    assert set(shared_api.get("/nowhere").json()) == {"message"}
    other = shared_api.request("PUT", "/sequences")
    assert (other.status_code, set(other.json())) == (405, {"message"})
    assert other.headers["Allow"] == "GET, HEAD, POST"


def test_every_path_answers_405_to_the_methods_it_lacks_and_names_those_it_has(shared_api: Api) -> None:
    for path, operations in shared_api.app.openapi()["paths"].items():
        known = {method.upper() for method in operations}
        known |= {"HEAD"} if "GET" in known else set()
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - known:
            other = shared_api.request(method, re.sub(r"\{\w+\}", NOBODY, path))
            assert (other.status_code, other.headers.get("Allow")) == (405, ", ".join(sorted(known))), path


@pytest.mark.parametrize("path", ["/contacts/exports", "/contacts/import", "/suppressions/export1"])
def test_word_that_is_no_place_is_no_id_either(shared_api: Api, path: str) -> None:
    assert shared_api.get(path).status_code == 400


@pytest.mark.parametrize(("path", "field"), [("contacts", "mailAddress"), ("mailboxes", "address")])
def test_lists_are_sorted_either_way_and_paged_in_that_order(api: Api, path: str, field: str) -> None:
    make = {"contacts": api.contact, "mailboxes": api.mailbox}[path]
    made = [make(**{field: f"{letter}@example.com"}) for letter in "dbeac"]
    for sort, wanted in (
        ("createdAt", "dbeac"),
        ("-createdAt", "caebd"),
        (field, "abcde"),
        (f"-{field}", "edcba"),
    ):
        everything = api.get(f"/{path}", params={"sort": sort})
        assert "".join(one[field][0] for one in everything.json()) == wanted
        collected, query = [], {"sort": sort, "size": 2}
        while query is not None:
            answer = api.get(f"/{path}", params=query)
            collected += answer.json()
            following = answer.headers.get("X-Next-Cursor")
            query = following and query | {"after": following}
        assert collected == everything.json()
        assert api.get(f"/{path}", params={"sort": sort, "size": 2, "page": 1}).json() == collected[2:4]
    assert len(made) == 5


def test_sequences_are_sorted_by_name(api: Api) -> None:
    for name in ("c", "a", "b"):
        api.sequence(name=name)
    for sort, wanted in (("name", "abc"), ("-name", "cba"), ("-createdAt", "bac")):
        assert "".join(one["name"] for one in api.get("/sequences", params={"sort": sort}).json()) == wanted


def test_head_answers_what_get_does_without_the_body(api: Api) -> None:
    sequence = api.sequence()
    contact = api.enrolled(sequence)
    imported = api.post("/contacts/imports", content=b"name,mailAddress\n").json()
    known = {"sequence_id": sequence["id"], "contact_id": contact["id"], "import_id": imported["id"]}
    known["step_id"] = sequence["steps"][0]["id"]
    tried = 0
    for path, operations in api.app.openapi()["paths"].items():
        if "get" not in operations:
            continue
        for ids in (known, {}):
            where = re.sub(r"\{(\w+)\}", lambda name, ids=ids: ids.get(name[1], NOBODY), path)
            got, headed = api.get(where), api.request("HEAD", where)
            assert (headed.status_code, headed.content) == (got.status_code, b""), where
            changing = {"x-request-id"} | ({"content-length"} if path == "/metrics" else set())
            for headers in (got.headers, headed.headers):
                for name in changing:
                    headers.pop(name, None)
            assert headed.headers == got.headers, where
            tried += got.status_code == 200
    assert tried >= 20


def test_etag_that_the_client_has_is_answered_with_304_and_no_body(api: Api) -> None:
    sequence = api.sequence()
    contact, mailbox = api.enrolled(sequence), api.mailbox()
    suppression = api.made("/suppressions", {"mailAddress": "x@y.example", "reason": "x"})
    path = f"/sequences/{sequence['id']}"
    for one in (
        path,
        f"{path}/steps/{sequence['steps'][0]['id']}",
        f"{path}/contacts/{contact['id']}",
        f"/contacts/{contact['id']}",
        f"/mailboxes/{mailbox['id']}",
        f"/suppressions/{suppression['id']}",
    ):
        tag = api.get(one).headers["ETag"]
        for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            for method in ("GET", "HEAD"):
                same = api.request(method, one, headers={"If-None-Match": condition})
                assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag), one
                assert "Content-Type" not in same.headers
        other = api.get(one, headers={"If-None-Match": '"other"'})
        assert (other.status_code, other.headers["ETag"]) == (200, tag)
    assert api.get("/contacts", headers={"If-None-Match": "*"}).status_code == 200  # a list has no ETag
    api.patch(f"/contacts/{contact['id']}", {"name": "New"})
    changed = api.get(f"/contacts/{contact['id']}", headers={"If-None-Match": api.get(path).headers["ETag"]})
    assert changed.status_code == 200
