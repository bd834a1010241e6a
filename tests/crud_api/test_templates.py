"""Tests the validation of templates, and previews of mails."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.crud_api.conftest import NOBODY, STEP, Api

REFUSED = [
    ("Hi {{ contact.nmae }}", "line 1: contact.nmae is not a known field; known fields are contact.name, "),
    ("Hi\n\n{{ contact.name }} {{ contct.name }}", "line 3: contct.name is not a known field"),
    ("Hi\r\n{{ sender }}", "line 2: sender is not a known field"),
    ("{{ contact }}", "line 1: contact is not a known field"),
    ("{% assign c = contact %}{{ c.id }}", "line 1: contact is not a known field"),
    ("{{ contact[contact.name] }}", "line 1: contact[contact.name] is not a known field"),
    ("{{ contact.name.__class__ }}", "line 1: contact.name.__class__ is not a known field"),
    ("{{ company }}", "line 1: company is not a known field"),
    ("a\n{{ contact.name", "line 2: expected '}}'"),
    ("a\n\n{% if contact.name %}b", "line 3: expected tag endif"),
    ("{% surprise %}", "line 1: unexpected tag 'surprise'"),
    ("{{ contact.name | upcse }}", "line 1: upcse is not a known filter"),
    ("{{ contact.name | safe }}", "line 1: safe is not a known filter"),
    ("{% include 'secrets' %}", "line 1: another template cannot be included"),
    ("{% if true %}" * 500 + "{% endif %}" * 500, "line 1: "),
]
TAKEN = [
    "{{ contact.attributes.company | default: 'your firm' }}",
    "{% if contact.attributes.vip %}Dear{% else %}Hi{% endif %} {{ contact.name | upcase }}",
    "{% for x in contact.attributes.list %}{{ x.name }}{{ forloop.index }}{% endfor %}",
    "{% assign greeting = 'Hi' %}{{ greeting }} {{ contact.attributes['a b'] }} {{ sender.name.size }}",
    "<a href='{{ unsubscribe_url }}'>{{ contact.mail_address }} {{ sender.address }}</a>",
    "100 % {of} }} this",
]


@pytest.mark.parametrize(("source", "why"), REFUSED, ids=range(len(REFUSED)))
def test_template_is_refused_by_field_and_line_wherever_it_is_written(
    shared_api: Api, source: str, why: str
) -> None:
    step = STEP | {"mailContent": source}
    sequence = shared_api.sequence()
    path = f"/sequences/{sequence['id']}/steps"
    for method, url, body, field in (
        (
            "POST",
            "/sequences",
            {"name": "never", "steps": [STEP, step | {"stepNumber": 2}]},
            "steps[1].mailContent",
        ),
        ("POST", path, step | {"stepNumber": 2}, "mailContent"),
        ("PATCH", f"{path}/{sequence['steps'][0]['id']}", {"mailContent": source}, "mailContent"),
    ):
        refused = shared_api.request(method, url, json=body)
        assert refused.status_code == 400
        assert refused.json()["message"].startswith(f"{field}: {why}")
        assert len(refused.json()["message"]) < 300


def test_subject_is_a_template_too(shared_api: Api) -> None:
    refused = shared_api.post("/sequences", {"name": "x", "steps": [STEP | {"mailSubject": "Hi {{ name }}"}]})
    assert refused.status_code == 400
    assert refused.json()["message"].startswith("steps[0].mailSubject: line 1: name is not a known field")


@pytest.mark.parametrize(
    "source",
    [
        "{{" * 250_000,
        "{{" + " " * 400_000,
        "{{ " + " " * 20_000 + "}}",
        ("{{" + " " * 49 + "}}") * 9_000,
        "{% raw %}" * 50_000,
        "{% doc %}" * 50_000,
        "{% if contact.name %}" * 20_000,
        "{{ (" * 100_000 + "}}",
    ],
    ids=range(8),
)
def test_template_that_would_be_read_for_minutes_is_refused_at_once(shared_api: Api, source: str) -> None:
    started = time.perf_counter()
    refused = shared_api.post("/sequences", {"name": "x", "steps": [STEP | {"mailContent": source}]})
    assert time.perf_counter() - started < 5
    assert refused.status_code == 400
    assert refused.json()["message"].startswith("steps[0].mailContent: line 1: ")


@pytest.mark.parametrize("source", TAKEN)
def test_template_of_known_fields_is_taken_and_comes_back_as_it_was(shared_api: Api, source: str) -> None:
    sequence = shared_api.sequence(steps=[STEP | {"mailContent": source}])
    assert sequence["steps"][0]["mailContent"] == source


def preview(api: Api, sequence: dict[str, Any], step: int = 0, **query: str) -> Any:
    return api.get(f"/sequences/{sequence['id']}/steps/{sequence['steps'][step]['id']}/preview", params=query)


def test_preview_says_what_the_mail_will_say_and_sends_nothing(api: Api) -> None:
    first = STEP | {
        "mailSubject": "Hi {{ contact.name }}",
        "mailContent": "Dear {{ contact.name }} of {{ contact.attributes.firm }}",
    }
    page = "<p>{{ contact.name }}, {{ sender.name }}</p><a href='{{ unsubscribe_url }}'>Stop</a>"
    sequence = api.sequence(
        steps=[first, {"stepNumber": 2, "mailSubject": None, "mailContent": page}], openTrackingEnabled=True
    )
    mailbox = api.mailbox(displayName="Ann", address="ann@sender.example", trackingHost="t.sender.example")
    api.post(f"/sequences/{sequence['id']}/mailboxes", {"mailboxIds": [mailbox["id"]]})
    contact = api.contact(name="<Bob>", mailAddress="bob@people.example", attributes={"firm": "A & B"})
    shown = preview(api, sequence, contactId=contact["id"]).json()
    assert shown == {
        "senderName": "Ann",
        "senderAddress": "ann@sender.example",
        "contactName": "<Bob>",
        "contactAddress": "bob@people.example",
        "mailSubject": "Hi <Bob>",
        "mailFormat": "text",
        "warnings": [],
        "text": "Dear <Bob> of A & B\n\nUnsubscribe: https://t.sender.example/u/preview\n",
        "html": "<html><body>\n<p>Dear &lt;Bob&gt; of A &amp; B</p>\n"
        '<p><a href="https://t.sender.example/u/preview">Unsubscribe</a></p>\n</body></html>\n',
    }
    follow_up = preview(api, sequence, 1, contactId=contact["id"]).json()
    assert follow_up["mailSubject"] == "Hi <Bob>"
    assert follow_up["html"].startswith("<p>&lt;Bob&gt;, Ann</p>")
    assert follow_up["mailFormat"] == "html"
    assert api.post("/u/preview").status_code == 404
    for table in ("sends", "send_events", "suppressions"):
        assert api.sql(f"SELECT 1 FROM {table}") == []


def test_preview_is_from_the_mailbox_that_is_asked_for_or_that_the_contact_knows(api: Api) -> None:
    sequence, contact = api.sequence(), api.contact()
    ask = {"contactId": contact["id"]}
    without = preview(api, sequence, **ask)
    assert (without.status_code, without.json()["message"]) == (
        409,
        "The sequence has no mailbox. Set mailboxId.",
    )
    first, own, other = api.mailbox(), api.mailbox(), api.mailbox()
    api.post(f"/sequences/{sequence['id']}/mailboxes", {"mailboxIds": [first["id"], own["id"]]})
    assert preview(api, sequence, **ask).json()["senderAddress"] == first["address"]
    api.post(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
    api.sql("UPDATE sequences_contacts SET mailbox_id = %s", api.key("mailboxes", own))
    assert preview(api, sequence, **ask).json()["senderAddress"] == own["address"]
    asked = preview(api, sequence, **ask, mailboxId=other["id"])
    assert asked.json()["senderAddress"] == other["address"]


def test_preview_says_why_a_contacts_mail_cannot_be_written(api: Api) -> None:
    firm = "Hi {{ contact.attributes.firm }}"
    sequence = api.sequence(
        steps=[STEP | {"mailContent": firm}, STEP | {"stepNumber": 2, "mailSubject": firm}]
    )
    mailbox, contact = api.mailbox(), api.contact()
    line_end = api.contact(attributes={"firm": "Acme\nBcc: evil@example.com"})
    for step, who, why in (
        (0, contact, "contact.attributes.firm is undefined"),
        (1, contact, "subject: contact.attributes.firm is undefined"),
        (1, line_end, "subject: must be one line without control characters"),
    ):
        refused = preview(api, sequence, step, contactId=who["id"], mailboxId=mailbox["id"])
        assert refused.status_code == 409
        assert refused.json()["message"].startswith(f"The mail for this contact cannot be rendered: {why}")
        assert "evil" not in refused.text
    assert preview(api, sequence, contactId=line_end["id"], mailboxId=mailbox["id"]).status_code == 200


def test_preview_of_what_nothing_has_is_404_or_400(api: Api) -> None:
    sequence, contact, mailbox = api.sequence(), api.contact(), api.mailbox()
    step = sequence["steps"][0]["id"]
    good = {"contactId": contact["id"], "mailboxId": mailbox["id"]}
    for path, query in (
        (f"/sequences/{NOBODY}/steps/{step}/preview", good),
        (f"/sequences/{sequence['id']}/steps/{NOBODY}/preview", good),
        (f"/sequences/{api.sequence()['id']}/steps/{step}/preview", good),
        (f"/sequences/{sequence['id']}/steps/{step}/preview", good | {"contactId": NOBODY}),
        (f"/sequences/{sequence['id']}/steps/{step}/preview", good | {"mailboxId": NOBODY}),
    ):
        assert api.get(path, params=query).status_code == 404
    for query in ({}, good | {"contactId": "x"}, good | {"more": "x"}):
        assert preview(api, sequence, **query).status_code == 400


@pytest.mark.parametrize(("words", "warned"), [(9_000, False), (30_000, True)])
def test_preview_warns_of_a_mail_that_gmail_would_cut_off(api: Api, words: int, warned: bool) -> None:
    sequence = api.sequence(steps=[STEP | {"mailContent": "word " * words}])
    mailbox, contact = api.mailbox(), api.contact()
    warnings = preview(api, sequence, contactId=contact["id"], mailboxId=mailbox["id"]).json()["warnings"]
    assert [warning.partition(" kB; ")[0][:13] for warning in warnings] == (
        ["The mail has "] if warned else []
    )


def test_step_and_preview_say_what_the_content_is(api: Api) -> None:
    sequence = api.sequence(steps=[STEP | {"mailContent": "Dear <first name>,\n<ann@sender.example>"}])
    (step,) = sequence["steps"]
    assert (step["mailFormat"], step["detectedFormat"]) == ("auto", "text")
    path = f"/sequences/{sequence['id']}/steps/{step['id']}"
    changed = api.request("PATCH", path, json={"mailFormat": "html"}).json()
    assert (changed["mailFormat"], changed["detectedFormat"]) == ("html", "html")
    refused = api.request("PATCH", path, json={"mailFormat": "markdown"})
    assert refused.status_code == 400
    assert refused.json()["message"].startswith("mailFormat: ")
