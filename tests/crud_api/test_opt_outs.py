"""Tests that whoever said no is not mailed: spellings, opt-outs in files, and the round trip."""

from __future__ import annotations

import csv
import io
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from crud_api.imports.columns import find_opt_outs
from tests.conftest import Services
from tests.crud_api.conftest import Api
from tests.crud_api.test_imports import contacts, done, report
from tests.sequence_store.test_addresses import HOSTS, WORDS, spellings

BUECHER = (
    "ada@bücher.example",
    "ADA@BÜCHER.example",
    "ada@bu\u0308cher.example",
    "ada@xn--bcher-kva.example",
)


def state(api: Api) -> list[tuple[Any, ...]]:
    """Return everything that is known of the contacts and of the suppression of their addresses."""
    return api.sql(
        "SELECT c.name, c.mail_address, c.mail_address_written, c.is_active, c.attributes, c.address_hmac,"
        " x.reason, x.at FROM contacts c LEFT JOIN suppressions x USING (address_hmac)"
        " WHERE c.deleted_at IS NULL ORDER BY c.id"
    )


def listed(api: Api, **query: Any) -> list[dict[str, Any]]:
    answer = api.get("/contacts", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def test_spellings_of_an_address_are_one_contact_and_what_was_written_is_kept_until_it_is_erased(
    api: Api,
) -> None:
    contact = api.contact(mailAddress=BUECHER[1])
    assert contact["mailAddress"] == "ADA@xn--bcher-kva.example"
    for spelling in BUECHER:
        taken = api.post("/contacts", {"name": "Ada", "mailAddress": spelling})
        assert taken.status_code == 409
        assert listed(api, mailAddress=spelling) == [contact]
    written = "SELECT mail_address_written FROM contacts"
    assert api.sql(written) == [(BUECHER[1],)]
    other = {"mailAddress": "ada@example.com"}
    assert api.patch(f"/contacts/{contact['id']}", other).json()["mailAddress"] == "ada@example.com"
    assert api.sql(written) == [(None,)]
    api.patch(f"/contacts/{contact['id']}", {"mailAddress": BUECHER[0]})
    assert api.sql(written) == [(BUECHER[0],)]
    api.post(f"/contacts/{contact['id']}/erasure")
    assert api.sql("SELECT mail_address, mail_address_written FROM contacts") == [("", None)]
    assert api.contact(mailAddress=BUECHER[2])["suppressionReason"] == "erased"


@hypothesis.settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.data(), local=WORDS, domain=HOSTS, way=st.sampled_from(["api", "import", "file", "unsubscribed"])
)
def test_whatever_spelling_is_suppressed_no_spelling_is_enrolled(
    api: Api, settings: Services, data: Any, local: str, domain: str, way: str
) -> None:
    api.sql("TRUNCATE sequences, contacts, suppressions, idempotency_keys CASCADE")
    said, other = (data.draw(spellings(local, domain)) for _ in range(2))
    sequence = api.sequence()
    before = api.contact(mailAddress=other) if data.draw(st.booleans()) else None
    rows = io.StringIO()
    csv.writer(rows).writerows([["mailAddress", "name", "Opted out"], [said, "Ada", "yes"]])
    if way == "api":
        api.made("/suppressions", {"mailAddress": said.strip(), "reason": "asked"})
    elif way == "import":
        done(api, rows.getvalue(), "/suppressions/imports")
    elif way == "file":
        done(api, rows.getvalue())
    else:
        key = api.key("contacts", before or api.contact(mailAddress=said))
        api.sql("SELECT unsubscribe(1, %s, 1, 1, %s)", key, settings.api.address_pads)
    contact = next(iter(listed(api)), None) or api.contact(mailAddress=other)
    assert contact["suppressed"]
    enrolled = api.made(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
    assert enrolled["enrolled"] == 0
    again = io.StringIO()
    csv.writer(again).writerows([["mailAddress", "name"], [other, "Ada"]])
    shown = done(api, again.getvalue(), sequenceId=sequence["id"])
    assert (shown["enrolled"], shown["refused"]) == (0, 1)


TOOLS = [
    ("Unsubscribed from all email", "true"),
    ("unsubscribed_from_all_email", "TRUE"),
    ("HASOPTEDOUTOFEMAIL", "1"),
    ("Email Opt Out", "true"),
    ("UNSUB_TIME", "2024-03-01 10:11:12"),
    ("EMAIL_BLACKLISTED", "Yes"),
    ("Email Marketing Consent", "UNSUBSCRIBED"),
    ("Email Suppressions", '["UNSUBSCRIBE"]'),
    ("Lead Status", "Unsubscribed"),
    ("is_unsubscribed", "x"),
    ("doNotContact", "ja"),
    ("Do Not Contact - Email", "oui"),
    ("Person - Marketing status", "Unsubscribed"),
    ("Status", "Unsubscribed"),
    ("Email_Opt_Out", "sí"),
    ("Accepts Email Marketing", "no"),
    ("donotbulkemail", "Do Not Allow"),
    ("Opted out of email: Newsletter", "да"),
    ("Abgemeldet am", "01.03.2024"),
    ("Unsubscribed", "Mar 1, 2024"),
    ("Unsubscribed", "1709287872"),
    ("lead_category", "Do Not Contact"),
]


@pytest.mark.parametrize(("column", "value"), TOOLS)
def test_opt_outs_of_other_tools_suppress_and_are_shown(shared_api: Api, column: str, value: str) -> None:
    api = shared_api
    api.sql("TRUNCATE contacts, suppressions CASCADE")
    rows = io.StringIO()
    head = ["name", "email", column]
    csv.writer(rows).writerows([head, ["Ada", "ada@example.com", value], ["Bob", "bob@example.com", ""]])
    shown = done(api, rows.getvalue())
    assert (shown["optOutColumns"], shown["optedOut"]) == ([column], 1)
    assert (shown["added"], shown["refused"]) == (2, 0)
    ada, bob = listed(api)
    assert (ada["suppressed"], ada["suppressionReason"]) == (True, "opted_out")
    assert (bob["suppressed"], bob["suppressionReason"], bob["suppressedAt"]) == (False, None, None)
    assert listed(api, suppressed="true") == [ada]
    assert listed(api, suppressed="false") == [bob]
    api.sql("TRUNCATE contacts, suppressions CASCADE")
    ignored = done(api, rows.getvalue(), optOuts="ignore")
    assert (ignored["optOutColumns"], ignored["optedOut"], ignored["ignoredColumns"]) == ([], 0, [column])
    assert api.sql("SELECT count(*) FROM suppressions") == [(0,)]


@pytest.mark.parametrize(
    "column",
    ["OPTIN_TIME", "OPTIN_IP", "CONFIRM_TIME", "SMS_BLACKLISTED", "DoNotCall", "HasOptedOutOfFax", "Company",
     "Marketing contact status", "DOUBLE_OPT-IN", "Unsubscribe link", "Notes"],
)  # fmt: skip
def test_columns_that_say_something_else_are_no_opt_outs(column: str) -> None:
    assert find_opt_outs([column]) == []


@pytest.mark.parametrize(
    ("column", "value", "opted_out"),
    [
        ("Unsubscribed", "false", False),
        ("Unsubscribed", "Nein", False),
        ("Unsubscribed", "0000-00-00 00:00:00", False),
        ("Unsubscribed", "NULL", False),
        ("Unsubscribed", " \u200b", False),
        ("Unsubscribed", "maybe", None),
        ("Unsubscribed", "2", None),
        ("Unsubscribed", "N/A", None),
        ("Unsubscribed", "?", None),
        ("UNSUB_TIME", "soon", None),
        ("Email Marketing Consent", "SUBSCRIBED", False),
        ("Email Marketing Consent", "NEVER_SUBSCRIBED", False),
        ("Email Marketing Consent", "perhaps", None),
        ("Email Suppressions", "[]", False),
        ("Accepts Marketing", "yes", False),
        ("Accepts Marketing", "", False),
        ("Status", "Customer since 2020", False),
        ("Marketing status", "no_consent", False),
    ],
)
def test_value_that_is_no_clear_yes_or_no_refuses_its_row(
    shared_api: Api, column: str, value: str, opted_out: bool | None
) -> None:
    api = shared_api
    api.sql("TRUNCATE contacts, suppressions CASCADE")
    rows = io.StringIO()
    csv.writer(rows).writerows([["name", "email", column], ["Ada", "ada@example.com", value]])
    shown = done(api, rows.getvalue())
    assert (shown["refused"], shown["optedOut"]) == (opted_out is None, opted_out or 0)
    if opted_out is None:
        [(_, outcome, reason)] = report(api, shown)
        assert outcome == "refused"
        assert reason.startswith(f"{column}: must ")


def test_opt_out_stops_an_existing_contact_and_enrols_nobody(api: Api, settings: Services) -> None:
    sequence, mailbox = api.sequence(), api.mailbox()
    contact = api.enrolled(sequence, mailAddress=BUECHER[0])
    api.plan(sequence, contact, mailbox, status="dispatched")
    file = f"name,email,dnc\nAda,{BUECHER[2]},1\nBob,bob@example.com,yes\nCy,cy@example.com,\n"
    shown = done(api, file, sequenceId=sequence["id"], existing="keep")
    assert (shown["optedOut"], shown["enrolled"], shown["notEnrolled"]) == (2, 1, 2)
    assert report(api, shown) == [
        (2, "not_enrolled", "does not want mail, by the file"),
        (3, "not_enrolled", "does not want mail, by the file"),
    ]
    assert api.sql("SELECT status, reason FROM sends") == [("cancelled", "suppressed")]
    assert api.enrolment(sequence, contact, status="removed")["statusReason"] == "suppressed"


def test_opt_out_of_a_file_replaces_a_bounce_and_repeats_without_change(api: Api) -> None:
    api.made("/suppressions", {"mailAddress": "ada@example.com", "reason": "hard_bounce"})
    file = "name,email,Unsubscribed\nAda,ada@example.com,2020-01-01\n"
    assert done(api, file)["added"] == 1
    [first] = listed(api)
    assert first["suppressionReason"] == "opted_out"
    done(api, file)
    assert listed(api) == [first]


def test_time_of_an_opt_out_is_kept_unless_the_address_may_have_been_mailed_since(api: Api) -> None:
    api.contact(mailAddress="ada@example.com")
    time = "2020-01-01 10:00:00"
    file = f"name,email,UNSUB_TIME\nAda,ada@example.com,{time}\nBob,bob@example.com,{time}\n"
    done(api, file)
    ada, bob = listed(api)
    assert ada["suppressedAt"] > "2026"
    assert bob["suppressedAt"] == "2020-01-01T10:00:00Z"


def test_column_can_be_selected_as_an_opt_out(api: Api) -> None:
    file = "name,email,Wünscht nichts\nAda,ada@example.com,ja\n"
    shown = done(api, file, column="optOut:Wünscht nichts")
    assert (shown["optOutColumns"], shown["optedOut"]) == (["Wünscht nichts"], 1)


def test_status_column_also_becomes_an_attribute_where_that_is_asked(api: Api) -> None:
    file = "name,email,Status\nAda,ada@example.com,Customer\nBob,bob@example.com,unsubscribed\n"
    done(api, file, otherColumns="attributes")
    ada, bob = listed(api)
    assert (ada["attributes"], ada["suppressed"]) == ({"Status": "Customer"}, False)
    assert bob["suppressed"]


def test_contacts_in_every_state_out_and_in_again_are_the_same(api: Api, settings: Services) -> None:
    sequence, mailbox = api.sequence(), api.mailbox()
    for n, name in enumerate(["Ada", "-1", "=x", "NULL", "test", "{{ name }}", "Größe 😀", "'x", " padded "]):
        api.contact(
            name=name,
            mailAddress=f"ada{n}@example.com",
            isActive=n % 2 == 0,
            attributes={"n": 1.5, name: [n]},
        )
    api.contact(mailAddress="JOSÉ@bücher.example")
    api.contact(mailAddress="=＋plus@ｅxample.com")
    unsubscribed = api.enrolled(sequence, mailAddress="Unsubscribed@example.com")
    api.plan(sequence, unsubscribed, mailbox, status="sent")
    keys = "SELECT sequence_id, contact_id, step_id, round FROM sends"
    api.sql("SELECT unsubscribe(s.sequence_id, s.contact_id, s.step_id, s.round::integer, %s) FROM sends s",
            settings.api.address_pads)  # fmt: skip
    assert api.sql(keys)
    for reason in ("hard_bounce", "complaint", "asked by phone", "=cmd", "-"):
        contact = api.contact(mailAddress=f"x{len(reason)}@example.com", isActive=reason != "complaint")
        api.made("/suppressions", {"mailAddress": contact["mailAddress"], "reason": reason})
    erased = api.contact(mailAddress="erased@example.com")
    api.post(f"/contacts/{erased['id']}/erasure")
    api.contact(mailAddress="erased@example.com")
    api.delete(f"/contacts/{api.contact()['id']}")
    before = state(api)
    text = api.get("/contacts/export").text
    api.sql("TRUNCATE sequences, contacts, suppressions, send_events CASCADE")
    shown = done(api, text)
    assert (shown["refused"], shown["optOutColumns"]) == (0, ["suppressed"])
    assert state(api) == before
    assert {row[6] for row in before} >= {None, "unsubscribed", "hard_bounce", "complaint", "erased", "=cmd"}
    assert api.get("/contacts/export").text.partition("\n")[0] == text.partition("\n")[0]


def test_export_of_suppressed_contacts_only(api: Api) -> None:
    api.contact(mailAddress="ada@example.com")
    api.contact(mailAddress="bob@example.com")
    api.made("/suppressions", {"mailAddress": "ADA@example.com", "reason": "x"})
    [row] = csv.DictReader(io.StringIO(api.get("/contacts/export", params={"suppressed": "true"}).text))
    assert (row["mailAddress"], row["suppressed"], row["suppressionReason"]) == (
        "ada@example.com",
        "true",
        "x",
    )


def test_contact_that_sql_entered_in_another_spelling_is_suppressed_too(api: Api, settings: Services) -> None:
    sequence = api.sequence()
    canonical = "SELECT address_hmac('ada@xn--bcher-kva.example', %s)"
    api.sql(
        "INSERT INTO contacts (name, mail_address, address_hmac) VALUES ('Ada', 'ada@bücher.example',"
        f" ({canonical}))",
        settings.api.address_pads,
    )
    [contact] = listed(api)
    api.made(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
    api.made("/suppressions", {"mailAddress": BUECHER[2], "reason": "asked"})
    assert listed(api)[0]["suppressed"]
    assert api.sql("SELECT status FROM sequences_contacts") == [("removed",)]


PLACEHOLDERS = [
    "#N/A",
    "NULL",
    "-",
    "",
    " ",
    "\u200b\u200b",
    "{{ first_name }}",
    "n/a",
    "unknown",
    "*|FNAME|*",
    "Null",
]


def test_placeholder_as_a_name_is_missing_counted_and_reported(api: Api) -> None:
    rows = io.StringIO()
    lines = [[name, f"a{n}@example.com"] for n, name in enumerate([*PLACEHOLDERS, "Ada"])]
    csv.writer(rows).writerows([["name", "email"], *lines])
    shown = done(api, rows.getvalue())
    assert (shown["missingNames"], shown["flagged"], shown["added"]) == (11, 11, 12)
    reason = "name: is missing or a placeholder; templates see no name"
    assert report(api, shown) == [(n + 2, "flagged", reason) for n in range(11)]
    assert [row[0] for row in contacts(api)] == [*PLACEHOLDERS, "Ada"]


def test_placeholder_does_not_replace_a_name(api: Api) -> None:
    api.contact(name="Ada", mailAddress="ada@example.com")
    file = "name,email\nBob,bob@example.com\n#N/A,ada@example.com\nNULL,BOB@example.com\n"
    assert done(api, file)["missingNames"] == 2
    assert sorted(row[0] for row in contacts(api)) == ["Ada", "Bob"]
