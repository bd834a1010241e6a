"""Tests suppressions and the erasure of personal data."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Services
from tests.crud_api.conftest import NOBODY, Api
from tests.crud_api.test_imports import done


def suppressed(api: Api, address: str, reason: str = "asked by phone") -> dict[str, Any]:
    return api.made("/suppressions", {"mailAddress": address, "reason": reason})


def test_suppressing_an_address_stops_everything_for_it_also_what_is_dispatched(api: Api) -> None:
    sequence, mailbox = api.sequence(), api.mailbox()
    contact, other = api.enrolled(sequence, mailAddress="Ada@people.example"), api.enrolled(sequence)
    api.plan(sequence, contact, mailbox, status="dispatched")
    api.plan(sequence, other, mailbox, status="dispatched")
    suppressed(api, "ADA@people.example")
    enrolment = api.enrolment(sequence, contact, status="removed")
    assert (enrolment["status"], enrolment["statusReason"]) == ("removed", "suppressed")
    assert api.sql("SELECT status, reason FROM sends ORDER BY contact_id") == [
        ("cancelled", "suppressed"),
        ("dispatched", None),
    ]
    refused = api.made(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
    assert refused["refused"][0]["message"] == "is suppressed: its address must not be mailed"


@pytest.mark.parametrize(
    "stop",
    [
        "SELECT suppress_address('ada@people.example', 'removed', 'asked', %(pads)s)",
        "SELECT unsubscribe(1, 1, 1, 1, %(pads)s)",
        "SELECT erase_contact((SELECT external_id FROM contacts), %(pads)s)",
        """INSERT INTO suppressions (address_hmac, reason)
        VALUES (address_hmac('ada@people.example', %(pads)s), 'x')""",
    ],
)
def test_suppression_is_dated_when_it_holds_and_not_when_its_transaction_began(
    api: Api, settings: Services, stop: str
) -> None:
    """A mail sent while the suppression waited for the lock of the contact counts as sent before it."""
    api.contact(mailAddress="ada@people.example")
    with api.database.connect("owner") as stopping:
        stopping.execute("SELECT 1")
        [(mailed,)] = api.sql("SELECT clock_timestamp()")
        stopping.execute(stop, {"pads": settings.api.address_pads})
    assert api.sql("SELECT at > %s FROM suppressions", mailed) == [(True,)]


def test_suppression_is_found_by_its_address_which_nobody_can_read(api: Api) -> None:
    made = [suppressed(api, f"ada{n}@people.example", f"reason {n}") for n in range(3)]
    assert api.get("/suppressions").json() == made
    assert api.get("/suppressions", params={"size": 1, "page": 1}).json() == made[1:2]
    first = api.get("/suppressions", params={"size": 2})
    following = api.get("/suppressions", params={"size": 2, "after": first.headers["X-Next-Cursor"]})
    assert (first.json(), following.json()) == (made[:2], made[2:])
    assert api.get("/suppressions", params={"mailAddress": "ADA1@People.example"}).json() == [made[1]]
    assert api.get("/suppressions", params={"mailAddress": "nobody@people.example"}).json() == []
    assert "people.example" not in api.get("/suppressions").text


def test_suppressing_again_keeps_the_first_reason(api: Api) -> None:
    first = suppressed(api, "ada@people.example", "asked by phone")
    assert suppressed(api, "Ada@people.example", "something else") == first


def test_lifting_lets_the_address_be_mailed_again_and_keeps_who_and_why(api: Api) -> None:
    sequence, contact = api.sequence(), api.contact(mailAddress="ada@people.example")
    path = f"/suppressions/{suppressed(api, 'ada@people.example')['id']}"
    for body in ({}, {"reason": "x"}, {"by": "x"}, {"reason": "", "by": "x"}):
        assert api.delete(path, body).status_code == 400
    assert api.delete(path, {"reason": "asked to come back", "by": "Grace"}).status_code == 204
    assert api.delete(path, {"reason": "x", "by": "x"}).status_code == 404
    assert api.get("/suppressions").json() == []
    [(kind, actor, detail)] = api.sql("SELECT kind, actor, detail FROM send_events")
    assert (kind, actor) == ("suppression_lifted", "sequence_api")
    assert len(detail.pop("address_hmac")) == 64
    assert detail == {"by": "Grace", "reason": "asked to come back", "was": "asked by phone"}
    again = api.made(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
    assert again["enrolled"] == 1


def erase(api: Api, contact: dict[str, Any]) -> int:
    return api.post(f"/contacts/{contact['id']}/erasure").status_code


def test_erasure_blanks_the_person_in_every_row_and_keeps_the_ledgers_keys(
    api: Api, settings: Services
) -> None:
    sequence, mailbox = api.sequence(), api.mailbox()
    former = api.enrolled(sequence, name="Ada Old", mailAddress="ada@people.example")
    api.plan(sequence, former, mailbox, status="sent")
    api.delete(f"/contacts/{former['id']}")
    contact = api.enrolled(sequence, name="Ada", mailAddress="Ada@people.example", attributes={"born": 1815})
    api.plan(sequence, contact, mailbox, status="dispatched")
    other = api.enrolled(sequence)
    api.plan(sequence, other, mailbox, status="sent")
    api.sql("UPDATE sends SET smtp_reply = '250 ok, Ada'")
    api.sql(
        "INSERT INTO send_events (sequence_id, contact_id, step_id, round, kind, detail)"
        " SELECT sequence_id, contact_id, step_id, round, 'reply', '{\"text\": \"Regards, Ada\"}' FROM sends"
    )
    keys = (
        "SELECT sequence_id, contact_id, step_id, round, mailbox_id, send_at FROM sends ORDER BY contact_id"
    )
    before = api.sql(keys)
    assert erase(api, contact) == 204
    assert api.get(f"/contacts/{contact['id']}").status_code == 404
    assert api.sql("SELECT name, mail_address, attributes, is_active FROM contacts ORDER BY id") == [
        ("", "", {}, False),
        ("", "", {}, False),
        (other["name"], other["mailAddress"], {}, True),
    ]
    assert api.sql("SELECT smtp_reply, status FROM sends ORDER BY contact_id") == [
        (None, "sent"),
        (None, "cancelled"),
        ("250 ok, Ada", "sent"),
    ]
    assert api.sql("SELECT detail FROM send_events WHERE kind = 'reply' ORDER BY contact_id") == [
        ({},),
        ({},),
        ({"text": "Regards, Ada"},),
    ]
    assert api.sql(keys) == before
    assert api.enrolment(sequence, contact, status="removed")["statusReason"] == "contact_erased"


def test_erased_address_that_is_entered_again_is_mailed_nothing(api: Api) -> None:
    sequence = api.sequence()
    assert erase(api, api.enrolled(sequence, mailAddress="ada@people.example")) == 204
    again = api.contact(mailAddress="ADA@people.example")
    report = api.made(f"/sequences/{sequence['id']}/contacts", {"contactIds": [again["id"]]})
    assert report["enrolled"] == 0
    assert api.get("/suppressions").json()[0]["reason"] == "erased"


def test_erasing_twice_and_after_deletion_is_fine_and_of_nobody_is_404(api: Api) -> None:
    contact = api.contact()
    api.delete(f"/contacts/{contact['id']}")
    assert [erase(api, contact), erase(api, contact), erase(api, {"id": NOBODY})] == [204, 204, 404]
    assert api.sql("SELECT name FROM contacts") == [("",)]
    assert api.sql("SELECT kind, count(*) FROM send_events GROUP BY kind") == [("contact_erased", 1)]
    assert api.sql("SELECT count(*) FROM suppressions") == [(1,)]


@pytest.mark.parametrize("in_force", [True, False])
def test_suppression_with_an_end_holds_until_then_and_no_longer(
    api: Api, settings: Services, *, in_force: bool
) -> None:
    sequence, contact = api.sequence(), api.contact(mailAddress="ada@people.example")
    api.sql(
        "INSERT INTO suppressions (address_hmac, reason, until)"
        " VALUES (address_hmac('ada@people.example', %s), 'refused', now() + %s * interval '1 hour')",
        settings.api.address_pads,
        1 if in_force else -1,
    )
    shown = api.get(f"/contacts/{contact['id']}").json()
    assert (shown["suppressed"], shown["suppressionReason"]) == (in_force, "refused" if in_force else None)
    assert [
        one["id"] for one in api.get("/contacts", params={"suppressed": str(in_force).lower()}).json()
    ] == [contact["id"]]
    export = api.get("/contacts/export").text.splitlines()[1]
    assert ('"refused"' in export, f'"{str(in_force).lower()}"' in export.split(",", 7)[7]) == (
        in_force,
        True,
    )
    refused = done(api, "mailAddress,name\nada@people.example,Ada\n")
    assert refused["refused"] == int(in_force)
    enrolled = api.made(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
    assert enrolled["enrolled"] == int(not in_force)
    suppressed(api, "ada@people.example")
    [one] = api.get("/suppressions").json()
    assert (one["reason"], one["until"]) == ("asked by phone", None)


def test_import_replaces_a_suppression_with_an_end_and_keeps_others(api: Api, settings: Services) -> None:
    for name, reason, until in (("ada", "refused", "'2999-01-01'"), ("bob", "hard_bounce", "NULL")):
        api.sql(
            "INSERT INTO suppressions (address_hmac, reason, until)"
            f" VALUES (address_hmac(%s, %s), %s, {until})",
            f"{name}@people.example",
            settings.api.address_pads,
            reason,
        )
    file = "mailAddress,reason\nada@people.example,asked\nbob@people.example,asked\n"
    assert done(api, file, "/suppressions/imports")["added"] == 1
    assert api.sql("SELECT reason, until FROM suppressions ORDER BY id") == [
        ("asked", None),
        ("hard_bounce", None),
    ]


def test_lifted_address_begins_with_no_refusals(api: Api, settings: Services) -> None:
    lifted = suppressed(api, "ada@people.example")
    api.sql(
        "INSERT INTO refusals (address_hmac, kind, days, endings)"
        " VALUES (address_hmac('ada@people.example', %s), 'address', ARRAY[current_date], 1)",
        settings.api.address_pads,
    )
    answer = api.request("DELETE", f"/suppressions/{lifted['id']}", json={"by": "Ada", "reason": "a mistake"})
    assert (answer.status_code, api.sql("SELECT count(*) FROM refusals")) == (204, [(0,)])
