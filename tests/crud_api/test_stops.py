"""Tests of the API's part of stops: whom a reply stops, holds, opt-outs that wait, and resuming."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crud_api.conftest import Api
from tests.crud_api.test_imports import done, report


def reported(api: Api, sequence: dict[str, Any], contact: dict[str, Any]) -> None:
    answer = api.patch(f"/sequences/{sequence['id']}/contacts/{contact['id']}", {"status": "replied"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("scope", "other"), [("sequence", "active"), ("contact", "replied")])
def test_reported_reply_reaches_as_far_as_its_sequence_says(api: Api, scope: str, other: str) -> None:
    first, second = api.sequence(replyStops=scope), api.sequence()
    assert (first["replyStops"], second["replyStops"]) == (scope, "contact")
    contact = api.enrolled(first)
    api.made(f"/sequences/{second['id']}/contacts", {"contactIds": [contact["id"]]})
    reported(api, first, contact)
    assert api.enrolment(first, contact, status="replied")["status"] == "replied"
    assert api.enrolment(second, contact, status=other)["status"] == other


def test_list_and_file_leave_out_who_replied_and_a_request_for_one_contact_does_not(api: Api) -> None:
    first, second = api.sequence(), api.sequence()
    contact, quiet = api.enrolled(first, mailAddress="ada@people.example"), api.contact()
    reported(api, first, contact)
    path = f"/sequences/{second['id']}/contacts"
    answer = api.made(path, {"contactIds": [contact["id"], quiet["id"]]})
    assert (answer["enrolled"], [one["message"][:21] for one in answer["refused"]]) == (
        1,
        ["not_enrolled: replied"],
    )
    shown = done(api, "mailAddress,name\nada@people.example,Ada\n", sequenceId=second["id"])
    assert (shown["enrolled"], shown["notEnrolled"]) == (0, 1)
    assert "replied" in str(report(api, shown))
    assert api.made(path, {"contactIds": [contact["id"]]})["enrolled"] == 1


def test_enrolment_that_a_reply_ended_is_resumed_in_a_new_round(api: Api) -> None:
    sequence = api.sequence()
    contact = api.enrolled(sequence)
    path = f"/sequences/{sequence['id']}/contacts/{contact['id']}/resume"
    assert api.post(path).status_code == 409
    reported(api, sequence, contact)
    resumed = api.post(path)
    assert (resumed.status_code, resumed.json()["status"], resumed.json()["round"]) == (200, "active", 2)
    api.made("/suppressions", {"mailAddress": contact["mailAddress"], "reason": "asked"})
    assert api.post(path).status_code == 409


def test_hold_of_a_person_is_shown_and_ended(api: Api) -> None:
    contact = api.contact()
    path = f"/contacts/{contact['id']}"
    held = api.patch(path, {"holdUntil": "2027-01-05"}).json()
    assert (held["holdUntil"], held["holdReason"]) == ("2027-01-05", "manual")
    ended = api.patch(path, {"holdUntil": None}).json()
    assert (ended["holdUntil"], ended["holdReason"]) == (None, None)


@pytest.mark.parametrize(("how", "suppressed"), [("confirm", True), ("lift", False)])
def test_opt_out_that_waits_is_confirmed_or_lifted_once(api: Api, how: str, *, suppressed: bool) -> None:
    contact = api.contact()
    path = f"/contacts/{contact['id']}"
    assert api.post(f"{path}/optOut/{how}").status_code == 409
    api.sql("UPDATE contacts SET stopped_at = now(), stopped_reason = 'opt_out_unverified'")
    assert api.get(path).json()["stoppedAt"]
    assert api.post(f"{path}/optOut/{how}").status_code == 204
    shown = api.get(path).json()
    assert (shown["stoppedAt"], shown["suppressed"]) == (None, suppressed)
    assert api.post(f"{path}/optOut/{how}").status_code == 409
