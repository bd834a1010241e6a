"""Tests mailboxes."""

from __future__ import annotations

from typing import Any

import pytest

from sequence_store.secrets.at_rest import SecretBox
from sequence_store.settings import LOCAL_SECRET_KEY
from tests.crud_api.conftest import MAILBOX, Api

EVERYTHING = {
    "address": "ada@example.com",
    "displayName": "Ada Lovelace",
    "sendLimit": 40,
    "sendStartTime": "22:00:00",
    "sendEndTime": "06:30:30",
    "timeZone": "America/New_York",
    "sendDays": [1, 2, 5],
    "holidayCalendar": "US",
    "minGapSeconds": 30,
    "maxFirstMails": 10,
    "rampUpStart": 5,
    "rampUpDailyIncrement": 2,
    "rampUpStarted": "2026-02-28",
    "isActive": False,
    "parkedUntil": "2026-03-01T12:00:00Z",
    "parkedReason": "password refused",
    "trackingHost": "links.example.com",
    "smtpHost": "smtp.example.com",
    "smtpPort": 465,
    "smtpSecurity": "tls",
    "smtpUsername": "ada",
    "imapHost": "imap.example.com",
    "imapPort": 993,
    "imapSecurity": "tls",
}


def test_mailbox_comes_back_as_it_was_entered_but_for_its_secret(api: Api) -> None:
    created = api.post("/mailboxes", EVERYTHING | {"smtpSecret": "correct horse"})
    assert created.status_code == 201
    mailbox = created.json()
    told = {"id": mailbox["id"], "createdAt": mailbox["createdAt"], "lastUpdatedAt": None}
    assert mailbox == EVERYTHING | told
    changed = api.patch(f"/mailboxes/{mailbox['id']}", {"smtpSecret": "battery staple"})
    for answer in (created, changed, api.get(f"/mailboxes/{mailbox['id']}"), api.get("/mailboxes")):
        assert "ecret" not in answer.text
        assert "horse" not in answer.text
        assert "staple" not in answer.text
    [(stored,)] = api.sql("SELECT smtp_secret FROM mailboxes")
    assert "staple" not in stored
    assert SecretBox([LOCAL_SECRET_KEY], takes_unsealed=False).open(stored) == "battery staple"


def test_short_mailbox_has_the_documented_defaults(api: Api) -> None:
    mailbox = api.mailbox()
    assert (mailbox["sendStartTime"], mailbox["sendEndTime"]) == ("09:00:00", "17:30:00")
    assert mailbox["timeZone"] == "UTC"
    assert mailbox["sendDays"] == [1, 2, 3, 4, 5, 6, 7]
    assert (mailbox["minGapSeconds"], mailbox["isActive"]) == (0, True)
    assert mailbox["holidayCalendar"] is mailbox["smtpHost"] is mailbox["parkedUntil"] is None


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        (
            "address",
            ["ada", "@example.com", "ada@", "ada@x", "a b@example.com", "ada@exa mple.com", "a@b@", ""],
        ),
        (
            "address",
            ["ada\n@example.com", "ada@-x.com", "ada..b@example.com", "x" * 65 + "@example.com", 5, None],
        ),
        ("displayName", ["", "two\nlines", "=?utf-8?q?Hi=0ABcc=3A_evil?=", "\x00", "\u2028", "x" * 256]),
        ("sendLimit", [-1, 2**31, 1.5, "10", True, None]),
        ("sendStartTime", ["9:00", "24:00", "09:60", "09:00Z", "09:00:00.5", "", 900, None, "٠٩:٠٠"]),
        ("timeZone", ["Europe/Nowhere", "../../etc/passwd", "", "localtime", "europe/paris\x00", None, 1]),
        ("sendDays", [[], [0], [8], [1, 1], ["1"], 1, None]),
        ("holidayCalendar", ["", "XX", "Germany", "de-by", 49]),
        ("minGapSeconds", [-1, 86_401]),
        ("maxFirstMails", [-1]),
        ("rampUpStart", [5, -1]),
        ("parkedUntil", ["2026-03-01", "2026-03-01T12:00:00", "0001-01-01T00:00:00+14:00", "soon", 1e400]),
        ("trackingHost", ["", "https://x.example", "a..b", "-x.example", "x" * 64 + ".example"]),
        ("smtpHost", ["", "ses:", "ses:nowhere", "smtp:eu-west-1", "ses:eu-west-1/x"]),
        ("smtpPort", [0, 65_536, "25"]),
        ("smtpSecurity", ["ssl", "", 1]),
        ("smtpSecret", ["", "\x00", 5]),
        ("id", ["x"]),
        ("created", ["2026-03-01T12:00:00Z"]),
    ],
)
def test_impossible_value_is_refused_naming_the_field(shared_api: Api, field: str, bad: list[Any]) -> None:
    for value in bad:
        if value == float("inf"):
            continue
        refused = shared_api.post("/mailboxes", {"address": "nobody@example.com"} | MAILBOX | {field: value})
        assert refused.status_code == 400, (value, refused.text)
        assert refused.json()["message"].startswith(field), (value, refused.text)
    assert shared_api.get("/mailboxes", params={"address": "nobody@example.com"}).json() == []


def test_mailbox_may_send_through_amazon_ses(api: Api) -> None:
    mailbox = api.mailbox(smtpHost="ses:eu-west-1")
    assert mailbox["smtpHost"] == "ses:eu-west-1"


@pytest.mark.parametrize(
    ("starts", "ends", "status"),
    [
        ("09:00:00", "09:00:59", 400),
        ("23:59:30", "00:00:10", 400),
        ("09:00", "09:01", 201),
        ("23:59:30", "00:00:30", 201),
        ("09:00", "09:00", 201),  # the whole day
    ],
)
def test_window_that_can_hold_no_mail_is_refused(api: Api, starts: str, ends: str, status: int) -> None:
    window = {"sendStartTime": starts, "sendEndTime": ends}
    answer = api.post("/mailboxes", {**MAILBOX, "address": "ada@example.com", **window})
    assert answer.status_code == status, answer.text
    before = api.mailbox(sendStartTime="10:00", sendEndTime="10:30")
    changed = api.patch(f"/mailboxes/{before['id']}", window)
    assert changed.status_code == {201: 200}.get(status, status)
    if status == 400:
        assert "can hold no mail" in changed.json()["message"]
        assert api.get(f"/mailboxes/{before['id']}").json() == before


def test_ramp_up_fields_go_together_also_in_a_patch(api: Api) -> None:
    ramp_up = {"rampUpStart": 5, "rampUpDailyIncrement": 2, "rampUpStarted": "2026-03-01"}
    mailbox = api.mailbox(**ramp_up)
    path = f"/mailboxes/{mailbox['id']}"
    assert api.patch(path, {"rampUpStarted": None}).status_code == 400
    assert api.patch(path, {"rampUpStart": 6}).json()["rampUpStart"] == 6
    assert api.patch(path, dict.fromkeys(ramp_up)).json()["rampUpStart"] is None
    assert api.patch(path, {"rampUpDailyIncrement": 1}).status_code == 400


def test_address_is_unique_among_live_mailboxes(api: Api) -> None:
    mailbox = api.mailbox()
    taken = api.post("/mailboxes", {"address": mailbox["address"]} | MAILBOX)
    assert (taken.status_code, taken.json()) == (
        409,
        {"message": "address: is already used by another mailbox"},
    )
    assert api.delete(f"/mailboxes/{mailbox['id']}").status_code == 204
    assert api.mailbox(address=mailbox["address"])["id"] != mailbox["id"]


def test_deleted_mailbox_is_404(api: Api) -> None:
    mailbox = api.mailbox()
    path = f"/mailboxes/{mailbox['id']}"
    assert api.delete(path).status_code == 204
    for answer in (api.get(path), api.patch(path, {"sendLimit": 1}), api.delete(path)):
        assert answer.status_code == 404


def test_mailboxes_are_found_by_address_and_activity(api: Api) -> None:
    active, idle = api.mailbox(), api.mailbox(isActive=False)
    assert api.get("/mailboxes", params={"isActive": "false"}).json() == [idle]
    assert api.get("/mailboxes", params={"address": active["address"]}).json() == [active]
