"""Tests that no input causes a 500, and that hostile strings are rejected or returned unchanged."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from tests.crud_api.conftest import NOBODY, STEP, Api

HOSTILE = [
    "'; DROP TABLE contacts; --",
    '" OR 1=1',
    "%(x)s %s %%",
    "$$;--",
    "{{ contact.name }}{% raw",
    "\x00",
    "a\x00b",
    "\x1b[31m",
    "line\r\nBcc: evil@example.com",
    "=?utf-8?q?Hi=0ABcc=3A?=",
    "\u202eRTL\u200b\ufeff",
    "\u2028",
    "\ud800",
    "😀" * 60,
    "\\",
    "../../etc/passwd",
    "=cmd|'/C calc'!A0",
    "<script>alert(1)</script>",
    " padded ",
    "x" * 256,
]
FIELDS = [
    ("sequences", "name"),
    ("sequences", "replyStops"),
    ("steps", "mailSubject"),
    ("steps", "mailContent"),
    ("steps", "stepName"),
    ("steps", "mailFormat"),
    ("mailboxes", "address"),
    ("mailboxes", "displayName"),
    ("mailboxes", "timeZone"),
    ("mailboxes", "holidayCalendar"),
    ("mailboxes", "parkedReason"),
    ("mailboxes", "trackingHost"),
    ("mailboxes", "smtpHost"),
    ("mailboxes", "smtpUsername"),
    ("mailboxes", "smtpSecurity"),
    ("mailboxes", "imapHost"),
    ("mailboxes", "imapSecurity"),
    ("contacts", "name"),
    ("contacts", "holdUntil"),
    ("contacts", "mailAddress"),
]


def escaped(value: Any) -> bytes:
    """Return JSON with every character escaped, including lone surrogates."""
    import json

    return json.dumps(value, ensure_ascii=True).encode()


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_hostile_string_comes_back_verbatim_or_is_refused(shared_api: Api, kind: str, field: str) -> None:
    sequence = shared_api.sequence()
    paths = {
        "sequences": f"/sequences/{sequence['id']}",
        "steps": f"/sequences/{sequence['id']}/steps/{sequence['steps'][0]['id']}",
        "mailboxes": f"/mailboxes/{shared_api.mailbox()['id']}" if kind == "mailboxes" else "",
        "contacts": f"/contacts/{shared_api.contact()['id']}" if kind == "contacts" else "",
    }
    for text in HOSTILE:
        answer = shared_api.request("PATCH", paths[kind], content=escaped({field: text}))
        assert answer.status_code in (200, 400), (text, answer.text)
        if answer.status_code == 200:
            assert answer.json()[field] == text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_string_in_what_is_made_or_lifted_comes_back_verbatim_or_is_refused(
    shared_api: Api, text: str
) -> None:
    address = f"{uuid4()}@people.example"
    for path, body, field in (
        ("/sequences", {"name": text}, "name"),
        ("/contacts", {"name": text, "mailAddress": address}, "name"),
        ("/contacts", {"name": "Ada", "mailAddress": text}, "mailAddress"),
        ("/suppressions", {"mailAddress": address, "reason": text}, "reason"),
        ("/suppressions", {"mailAddress": text, "reason": "asked by phone"}, ""),
    ):
        answer = shared_api.request("POST", path, content=escaped(body))
        assert answer.status_code in (201, 400), (path, text, answer.text)
        if answer.status_code == 201 and field:
            assert answer.json()[field] == text
    suppression = shared_api.made(
        "/suppressions", {"mailAddress": f"{uuid4()}@people.example", "reason": "x"}
    )
    for lifting in ({"reason": text, "by": "Ada"}, {"reason": "asked", "by": text}):
        answer = shared_api.request("DELETE", f"/suppressions/{suppression['id']}", content=escaped(lifting))
        assert answer.status_code in (204, 400, 404), (text, answer.text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_attribute_comes_back_verbatim_or_is_refused(shared_api: Api, text: str) -> None:
    contact = shared_api.contact()
    for attributes in ({"x": text}, {text: 1}, {"x": [{text: text}]}):
        content = escaped({"attributes": attributes})
        answer = shared_api.request("PATCH", f"/contacts/{contact['id']}", content=content)
        assert answer.status_code in (200, 400)
        if answer.status_code == 200:
            assert answer.json()["attributes"] == attributes


BODIES = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b"null",
    b'{"surprise": 1}',
    b'{"name": "\\u0000"}',
    b'{"": 1, "\\u0000": 2}',
    b"\xff\xfe",
    b"[" * 50_000,
    *(
        b'{"name": V, "mailAddress": V, "address": V, "stepNumber": V, "delayDays": V, "priority": V,'
        b' "steps": V, "contactIds": V, "mailboxIds": V, "status": V, "sendDays": V,'
        b' "attributes": V}'.replace(b"V", value)
        for value in (
            b"null",
            b"1e400",
            b"-1",
            b"9" * 400,
            b"[]",
            b"{}",
            b'"\\u0000"',
            b"true",
            b'["x", null]',
        )
    ),
]
IDS = ["x", "1", "%00", "%FF", NOBODY, "0" * 5000, "..%2f", "a@example.com", NOBODY + "%0A"]
QUERIES = [
    "size=%00",
    "page=-1",
    "after=%FF",
    "size=1&size=x",
    "x" * 3000,
    "&&==",
    "status=1e9",
    "isActive=2",
]


def routes(api: Api) -> list[tuple[str, str]]:
    """Return each method and path pattern in the OpenAPI document."""
    paths = api.app.openapi()["paths"]
    return [(method.upper(), path) for path, operations in paths.items() for method in operations]


def test_no_route_answers_500_to_bad_input(shared_api: Api) -> None:
    sequence, contact = shared_api.sequence(), shared_api.contact()
    walked = sorted(routes(shared_api), key=lambda route: route[0] == "DELETE")
    assert len(walked) >= 25
    asked = 0
    good = {"sequence_id": sequence["id"], "contact_id": contact["id"]}
    for method, pattern in walked:
        path = re.sub(r"\{(\w+)\}", lambda name: good.get(name[1], NOBODY), pattern)
        requests: list[tuple[str, dict[str, Any]]] = [(f"{path}?{query}", {}) for query in QUERIES]
        if method in ("POST", "PATCH") or "mailboxes" in path:
            requests += [(path, {"content": body}) for body in BODIES]
        if "{" in pattern:
            requests += [(re.sub(r"\{\w+\}", lambda _, bad=bad: bad, pattern), {"json": STEP}) for bad in IDS]
        asked += len(requests)
        for url, request in requests:
            answer = shared_api.request(method, url, **request)
            assert answer.status_code < 500, (method, url, request, answer.text)
            if answer.status_code >= 400:
                assert answer.json()["message"], (method, url, request)
    assert asked > 600


def test_every_route_of_the_app_is_in_its_document(shared_api: Api) -> None:
    served = {
        (method, route.path_format)
        for route in iter_route_contexts(shared_api.app.routes)
        if isinstance(route.original_route, APIRoute) and route.include_in_schema
        for method in route.methods or ()
    }
    assert served == set(routes(shared_api))


def strings_of(schema: dict[str, Any]) -> set[str]:
    """Return the fields of a schema that accept a string."""
    return {
        name
        for name, field in schema["properties"].items()
        if any(one.get("type") == "string" or "$ref" in one for one in [field, *field.get("anyOf", [])])
    }


def test_hostile_strings_reach_every_field_that_takes_one(shared_api: Api) -> None:
    schemas = shared_api.app.openapi()["components"]["schemas"]
    kinds = ("Sequence", "Step", "Mailbox", "Contact")
    written_only, times = {"smtpSecret"}, {"sendStartTime", "sendEndTime", "rampUpStarted", "parkedUntil"}
    for kind in kinds:
        plural = {"Mailbox": "mailboxes"}.get(kind, f"{kind.lower()}s")
        tried = {field for one, field in FIELDS if one == plural}
        assert strings_of(schemas[f"{kind}Changes"]) - written_only - times == tried


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_query_and_header_are_answered_or_refused(shared_api: Api, text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    for path, name in (
        ("/sequences", "name"),
        ("/mailboxes", "address"),
        ("/contacts", "mailAddress"),
        ("/contacts", "after"),
        ("/contacts", "sort"),
        ("/contacts", "size"),
    ):
        answer = shared_api.get(f"{path}?{name}={quote(raw)}")
        assert answer.status_code in (200, 400)
        if answer.status_code == 400:
            assert answer.json()["message"].startswith(f"{name}: ")
    path = f"/contacts/{shared_api.contact()['id']}"
    header = raw.replace(b"\r", b"").replace(b"\n", b"").replace(b"\x00", b"")
    for name in ("If-Match", "X-Request-Id", "Idempotency-Key"):
        assert shared_api.patch(path, {}, headers={name: header}).status_code in (200, 400, 412)
