"""Tests of the three rules for mail addresses: of the API, of the planner and of the worker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sequence_store.domain.addresses import check_entered_address, parse_address

LOCALS = st.from_regex(r"[^@\s]{1,9}(\.[^@\s]{1,9})?", fullmatch=True) | st.text(max_size=9)
LABELS = st.from_regex(r"[\w-]{1,9}", fullmatch=True) | st.text(max_size=5)
DOMAINS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
ADDRESSES = st.tuples(LOCALS, st.sampled_from(("@", "@", "@", "", "@@")), DOMAINS).map("".join)


def accepted(rule: Any, address: str) -> bool:
    try:
        rule(address)
    except ValueError:
        return False
    return True


@pytest.fixture
def is_valid(database: Any) -> Any:
    with database.connect("pipeline", autocommit=True) as connection:
        yield lambda text: connection.execute("SELECT is_valid_address(%s)", (text,)).fetchone()[0]


@example("ada@exämple.com")
@example("ada@exa\u00admple.com")
@example("ada@例え。テスト")
@example("Ada <ada@example.com>")
@example("a@b.example, c@d.example")
@given(ADDRESSES.filter(lambda text: "\0" not in text))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_address_that_may_be_entered_or_mailed_may_be_planned(is_valid: Any, address: str) -> None:
    bare = address.strip()
    if accepted(check_entered_address, address) or accepted(parse_address, bare):
        assert is_valid(bare)


@given(st.from_regex(r"[!-~]{1,9}(\.[!-~]{1,3})?@[a-z0-9A-Z._-]{1,9}\.[a-z-]{1,4}", fullmatch=True))
@settings(max_examples=500, deadline=None)
def test_address_that_may_be_entered_may_be_mailed(address: str) -> None:
    if accepted(check_entered_address, address):
        assert accepted(parse_address, address)


def test_rules_differ_where_they_should(is_valid: Any) -> None:
    entered_planned_mailed = {
        "ada@example.com": (True, True, True),
        "ada@localhost": (False, True, True),
        "ada@mail_1.example": (False, True, True),
        "ada.@example.com": (False, True, False),
        "a da@example.com": (False, False, False),
        "ada@example.com;bob@example.com": (False, False, False),
        "ada": (False, False, False),
        "": (False, False, False),
    }
    found = {
        text: (accepted(check_entered_address, text), is_valid(text), accepted(parse_address, text))
        for text in entered_planned_mailed
    }
    assert found == entered_planned_mailed
