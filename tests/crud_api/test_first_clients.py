"""Tests that clients of the first version still work: routes, statuses, fields, and any Content-Type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.crud_api.conftest import NOBODY, STEP, Api

SEQUENCE = {
    "name": "Welcome",
    "openTrackingEnabled": True,
    "clickTrackingEnabled": False,
    "steps": [
        {"stepNumber": 1, "mailSubject": "Hello", "mailContent": "First"},
        {"stepNumber": 2, "mailSubject": "Again", "mailContent": "Second"},
    ],
}


@dataclass
class FirstClient:
    """Sends bodies as the first clients do: as bytes, with any Content-Type or none."""

    api: Api
    headers: dict[str, str]

    def send(self, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        return self.api.request(method, path, content=json.dumps(body).encode(), headers=self.headers)


SEQUENCE_FIELDS = {
    "id",
    "name",
    "openTrackingEnabled",
    "clickTrackingEnabled",
    "steps",
    "isActive",
    "maxNewPerDay",
    "priority",
    "replyStops",
    "createdAt",
    "lastUpdatedAt",
}


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "application/json"}, {"Content-Type": "text/plain; charset=utf-8"}]
)
def test_first_clients_flow_gives_its_statuses_and_fields(api: Api, headers: dict[str, str]) -> None:
    client = FirstClient(api, headers)
    created = client.send("POST", "/sequences", SEQUENCE)
    assert created.status_code == 201
    sequence = created.json()
    assert set(sequence) == SEQUENCE_FIELDS
    assert {name: sequence[name] for name in ("name", "openTrackingEnabled", "clickTrackingEnabled")} == {
        name: SEQUENCE[name] for name in ("name", "openTrackingEnabled", "clickTrackingEnabled")
    }
    assert [step["mailSubject"] for step in sequence["steps"]] == ["Hello", "Again"]
    assert sequence["lastUpdatedAt"] is None
    path = f"/sequences/{sequence['id']}"

    listed = api.get("/sequences", params={"size": "10", "page": "0"})
    assert (listed.status_code, listed.json()) == (200, [sequence])
    assert api.get(path).json() == sequence

    patched = client.send("PATCH", path, {"openTrackingEnabled": False})
    assert patched.status_code == 200
    assert patched.json()["openTrackingEnabled"] is False
    assert patched.json()["clickTrackingEnabled"] is False
    assert patched.json()["lastUpdatedAt"] is not None

    third = {"stepNumber": 3, "mailSubject": "Last", "mailContent": "Third"}
    added = client.send("POST", f"{path}/steps", third)
    assert added.status_code == 201
    step = f"{path}/steps/{added.json()['id']}"
    changed = client.send("PATCH", step, {"mailContent": "Changed"})
    assert (changed.status_code, changed.json()["mailContent"]) == (200, "Changed")
    assert changed.json()["mailSubject"] == "Last"

    assert api.delete(step).status_code == 204
    assert api.delete(step).status_code == 204
    assert [one["stepNumber"] for one in api.get(path).json()["steps"]] == [1, 2]
    for method, where, bad in (
        ("POST", "/sequences", {"steps": []}),
        ("PATCH", path, {"openTrackingEnabled": "yes"}),
        ("POST", f"{path}/steps", {"stepNumber": 4}),
        ("PATCH", f"{path}/steps/{sequence['steps'][0]['id']}", {"stepNumber": 0}),
    ):
        refused = client.send(method, where, bad)
        assert (refused.status_code, set(refused.json())) == (400, {"message"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "?"},
    ],
    ids=["none", "text", "form", "nonsense"],
)
def test_body_is_json_whatever_its_content_type_says(api: Api, headers: dict[str, str]) -> None:
    created = api.request("POST", "/sequences", content=json.dumps(SEQUENCE).encode(), headers=headers)
    assert created.status_code == 201
    path = f"/sequences/{created.json()['id']}"
    changed = api.request("PATCH", path, content=b'{"clickTrackingEnabled": true}', headers=headers)
    assert changed.json()["clickTrackingEnabled"] is True


def test_field_names_are_matched_without_regard_to_case(shared_api: Api) -> None:
    body = {"NAME": "Loud", "opentrackingenabled": True, "Steps": [{k.upper(): v for k, v in STEP.items()}]}
    sequence = shared_api.made("/sequences", body)
    assert (sequence["name"], sequence["openTrackingEnabled"]) == ("Loud", True)
    assert sequence["steps"][0]["mailSubject"] == "Hello"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"steps": []}, "steps"),
        ({"steps": None}, "steps"),
        ({"steps": [STEP, STEP]}, "steps"),
        ({"steps": [STEP | {"stepNumber": 0}]}, "steps[0].stepNumber"),
        ({"steps": [STEP | {"stepNumber": "1"}]}, "steps[0].stepNumber"),
        ({"steps": [STEP | {"mailSubject": ""}]}, "steps[0].mailSubject"),
        ({"steps": [STEP, {"stepNumber": 2, "mailSubject": "x"}]}, "steps[1].mailContent"),
        ({"steps": [{"stepNumber": 1, "mailContent": "x"}]}, "steps[0].mailSubject"),
        ({"openTrackingEnabled": "yes"}, "openTrackingEnabled"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_sequence_is_refused_naming_the_field(
    shared_api: Api, change: dict[str, Any], field: str
) -> None:
    before = shared_api.get("/sequences").headers["X-Total-Count"]
    refused = shared_api.post(
        "/sequences", {k: v for k, v in (SEQUENCE | change).items() if k != "name" or v is not None}
    )
    assert refused.status_code == 400
    assert refused.json()["message"].startswith(f"{field}: ")
    assert shared_api.get("/sequences").headers["X-Total-Count"] == before


def test_unknown_ids_are_404_and_malformed_ones_400(shared_api: Api) -> None:
    sequence = shared_api.sequence()
    assert shared_api.get(f"/sequences/{NOBODY}").status_code == 404
    assert shared_api.patch(f"/sequences/{NOBODY}", {"openTrackingEnabled": True}).status_code == 404
    assert shared_api.post(f"/sequences/{NOBODY}/steps", STEP).status_code == 404
    assert (
        shared_api.patch(f"/sequences/{sequence['id']}/steps/{NOBODY}", {"mailContent": "x"}).status_code
        == 404
    )
    assert shared_api.delete(f"/sequences/{NOBODY}/steps/{NOBODY}").status_code == 204
    malformed = shared_api.get("/sequences/12")
    assert malformed.status_code == 400
    assert malformed.json()["message"].startswith("sequence_id: ")
