"""Tests which texts stand for a missing name or value, and that no mail greets one."""

from __future__ import annotations

import pytest

from sequence_store.domain.placeholders import is_missing_name, is_missing_value
from sequence_store.errors import TemplateError
from sequence_store.mail.content import Person, render_bodies, template_names

SENDER = Person("Ann", "ann@sender.example")
MISSING = [
    "",
    " ",
    "\t",
    "\u200b",
    "\ufeff\u2060",
    "\u3164",
    "-",
    "--",
    "—",
    ".",
    "?",
    "_",
    "'-'",
    "#N/A",
    "#n/a",
    "#REF!",
    "NULL",
    "null",
    "Null",
    "ＮＵＬＬ",
    "(null)",
    "N/A",
    "n/a",
    "n.a.",
    "nan",
    "NaN",
    "None",
    "none",
    "undefined",
    "unknown",
    "Unbekannt",
    "{{ name }}",
    "Hi {{first_name}}",
    "{firstName}",
    "{% name %}",
    "*|FNAME|*",
    "%FIRSTNAME%",
    "%%name%%",
    "[First Name]",
    "<<name>>",
    "${name}",
    "First Name",
    "FNAME",
    "test",
    "Test User",
    "\u200bNULL\u200b",
    " #N/A ",
]
NAMES = [
    "Ada",
    "Ada Lovelace",
    "Na Li",
    "Nan",
    "Jean-Luc",
    "O'Neil",
    "李",
    "Ng",
    "I",
    "🎈",
    "<Bob>",
    "(comment)",
    "A. Null",
    "Tester Smith",
    "José",
    "Null Island Ltd",
    "X Æ A-12",
    "Test Pilot",
    "Noname Jones",
    "'q'",
    "50 Cent",
]


@pytest.mark.parametrize("name", MISSING)
def test_placeholder_is_no_name_and_is_not_greeted(name: str) -> None:
    assert is_missing_name(name)
    for attribute in ("first_name", "First Name", "Vorname"):
        names = template_names(Person(name, "ada@x.example"), {attribute: name}, SENDER, unsubscribe_url="")
        second = f"{{{{ contact.attributes['{attribute}'] | default: '!' }}}}"
        greeting = f"Hi {{{{ contact.name | default: 'there' }}}}, {second}"
        assert render_bodies(greeting, names).text == "Hi there, !\n"
        with pytest.raises(TemplateError, match=r"contact.name is undefined"):
            render_bodies("Hi {{ contact.name }}", names)


@pytest.mark.parametrize("name", NAMES)
def test_name_of_a_person_is_greeted(name: str) -> None:
    assert not is_missing_name(name)
    names = template_names(Person(name, "ada@x.example"), {"firstName": name}, SENDER, unsubscribe_url="")
    assert (
        render_bodies("Hi {{ contact.name }} {{ contact.attributes.firstName }}", names).text
        == f"Hi {name} {name}\n"
    )


@pytest.mark.parametrize("value", ["-", "", "none of these", "unknown", "test", "no", "x", "[draft]x"])
def test_attribute_that_is_no_name_keeps_values_that_may_mean_something(value: str) -> None:
    assert not is_missing_value(value)
    for free in (value, "#N/A", "{{ x }}"):
        names = template_names(Person("Ada", "ada@x.example"), {"note": free}, SENDER, unsubscribe_url="")
        assert render_bodies("({{ contact.attributes.note }})", names).text == f"({free})\n"
    names = template_names(Person("Ada", "ada@x.example"), {"company": value}, SENDER, unsubscribe_url="")
    assert render_bodies("({{ contact.attributes.company }})", names).text == f"({value})\n"


@pytest.mark.parametrize("value", ["#N/A", "NULL", "{{ company }}", "*|COMPANY|*", "nan", "undefined"])
def test_attribute_that_is_a_placeholder_is_missing(value: str) -> None:
    names = template_names(Person("Ada", "ada@x.example"), {"company": value}, SENDER, unsubscribe_url="")
    assert render_bodies("{{ contact.attributes.company | default: 'you' }}", names).text == "you\n"
