"""Tests that errors speak of fields, in words of the API, and never of Python."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from crud_api.base_schema import Query, RequestBody
from crud_api.exception_handlers import describe
from sequence_store.errors import TemplateError
from sequence_store.mail.content import Person, template_names
from sequence_store.mail.templates import check, render
from tests.crud_api.conftest import STEP, Api

PYTHON = re.compile(
    r"Error|Exception|function-|\w\(|\)\]|validat|None\b|constrained|str\b|input should|unable to"
    r"|<class|Traceback|timestamp|timezone info|pattern"
)
STRANGE: tuple[Any, ...] = (
    *(None, True, 5, -1, 5.5, 1e308, 10**30, "", "x", "x" * 600_000, "\x00", "é@", "99:99", "ses:eu", "a b"),
    *(
        "2026-02-30",
        "2026-01-01T00:00:00",
        "2026-01-01T25:00:00Z",
        "2026-01-01T10:00:00Z",
        "{{ x",
        "{% if %}",
    ),
    *([], ["x"], [None], [1, 1], [[]], {}, {"a": 1}, {"\x00": "\x00"}, "0d5c9d3e-6f1b-4c8e-9a53-2f1c1f7e8a1"),
)


def models(base: type[BaseModel]) -> list[type[BaseModel]]:
    return [one for child in base.__subclasses__() for one in (child, *models(child))]


def test_every_field_refuses_every_strange_value_in_plain_words_and_by_its_name(shared_api: Api) -> None:
    tried = 0
    for model, value in product({*models(RequestBody), *models(Query)}, STRANGE):
        names = {field.alias or name for name, field in model.model_fields.items()}
        for name in names:
            try:
                model.model_validate({name: value})
            except ValidationError as error:
                for fault in error.errors(include_input=False):
                    message = describe({**fault, "loc": ("body", *fault["loc"])})
                    field, _, words = message.partition(": ")
                    assert re.split(r"[.\[]", field)[0] in names, message
                    assert not PYTHON.search(words), message
                    assert words != "is invalid", (model, name, value, fault)
                    tried += 1
    assert tried > 2000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"trackingHost": "a b"},
            "trackingHost: must be a host name; write an internationalised name as xn--…",
        ),
        ({"smtpHost": "a b"}, "smtpHost: must be a host name, or `ses:` and a region, such as ses:eu-west-1"),
        (
            {"smtpHost": "ses:nowhere"},
            "smtpHost: must be a host name, or `ses:` and a region, such as ses:eu-west-1",
        ),
        ({"sendDays": []}, "sendDays: must have at least 1 entry"),
        ({"smtpSecret": ""}, "smtpSecret: must have at least 1 character"),
        ({"function-after[_f(), str]": 1}, "function-after[_f(), str]: is not a known name"),
    ],
)
def test_field_of_a_mailbox_is_named_alone(shared_api: Api, body: dict[str, Any], message: str) -> None:
    refused = shared_api.patch(f"/mailboxes/{shared_api.mailbox()['id']}", body)
    assert (refused.status_code, refused.json()) == (400, {"message": message})


def test_paths_queries_and_headers_are_refused_in_plain_words(shared_api: Api) -> None:
    for path, message in (
        ("/contacts/x", "contact_id: must be a UUID"),
        ("/contacts?size=ten", "size: must be a whole number"),
        ("/contacts?size=1000", "size: must be at most 100"),
        ("/contacts?after=x", "after: must be the X-Next-Cursor of a page of this list"),
        ("/contacts?isActive=perhaps", "isActive: must be true or false"),
        ("/contacts?sort=x", "sort: must be 'createdAt', '-createdAt', 'mailAddress' or '-mailAddress'"),
        ("/contacts?x=1", "x: is not a known name"),
    ):
        refused = shared_api.get(path)
        assert (refused.status_code, refused.json()) == (400, {"message": message})
    body = {"name": "x", "steps": [STEP]}
    refused = shared_api.post("/sequences", body, headers={"Idempotency-Key": "a b"})
    words = "Idempotency-Key: must have 1 to 255 visible ASCII characters and no space"
    assert (refused.status_code, refused.json()) == (400, {"message": words})


BROKEN = [
    "{% for i in (1..200000) %}x{% endfor %}",
    "{% for i in (1..9000) %}{{ contact.attributes.text }}{{ contact.attributes.text }}{% endfor %}",
    "{% tablerow i in (1..99999) %}{{ i }}{% endtablerow %}",
    "{{ contact.attributes.firm }}",
    "{{ 5 | divided_by: contact.attributes.zero }}",
    "{{ 10 | modulo: 0 }}",
    "{{ contact.attributes.list | sort }}",
    "{{ contact.attributes.text | truncate: 'x' }}",
    "{{ contact.attributes.text | slice }}",
    "{{ contact.attributes.text | replace }}",
    "{{ contact.name | upcase: 3 }}",
    "{% if contact.attributes.object < 3 %}{% endif %}",
    "{% assign x = 'a' %}{% for i in (1..30) %}{% assign x = x | append: x %}{% endfor %}",
    "{% include 'x' %}",
    "{% render 'x' %}",
    "{% cycle %}",
    "{% surprise %}",
    "{{ contact.name",
    "{% if true %}" * 500 + "{% endif %}" * 500,
]


@pytest.mark.parametrize("source", BROKEN, ids=range(len(BROKEN)))
def test_template_that_cannot_be_rendered_says_why_in_plain_words(source: str) -> None:
    attributes = {"zero": 0, "list": [1, "a", {}], "text": "x" * 100, "object": {"a": 1}}
    names = template_names(Person("Ada", "a@b.c"), attributes, Person("S", "s@x.y"), unsubscribe_url="u")
    with pytest.raises(TemplateError) as failed:
        render(source, names, escape=True)
    said = [str(failed.value)]
    try:
        check(source)
    except TemplateError as error:
        said.append(str(error))
    for message in said:
        assert message
        assert not PYTHON.search(message), message
