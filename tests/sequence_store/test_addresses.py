"""Tests what a mail address is: one canonical form for every spelling, and one rule for every program."""

from __future__ import annotations

import unicodedata
from typing import Any

import idna
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sequence_store.domain import addresses
from sequence_store.domain.addresses import (
    PLAIN_ADDRESS,
    PLAIN_LENGTH,
    Address,
    canonical_address,
    entered_address,
    parse_address,
)

LOCALS = st.from_regex(r"[^@\s]{1,9}(\.[^@\s]{1,9})?", fullmatch=True) | st.text(max_size=9)
LABELS = st.from_regex(r"[\w-]{1,9}", fullmatch=True) | st.text(max_size=5)
DOMAINS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
ADDRESSES = st.tuples(LOCALS, st.sampled_from(("@", "@", "@", "", "@@")), DOMAINS).map("".join)
PLAIN = st.from_regex(
    r"\A[A-Za-z0-9_+.-]{1,9}@([a-zA-Z0-9-]{1,6}\.){0,2}([a-z]{1,4}|[A-Za-z0-9-]{1,6}|local|onion|invalid)\Z"
)
WORDS = st.sampled_from(
    ["ada", "Ada.Lovelace", "josé", "JOSÉ", "müller", "νίκος", "иван", "李", "o'neil+x", "ñandú"]
)
HOSTS = st.sampled_from(
    [
        "example.com",
        "bücher.example",
        "straße.de",
        "пример.рф",
        "例え.テスト",
        "mañana.example",
        "x1.co.uk",
        "παράδειγμα.gr",
    ]
)
INVISIBLE = "\u200b\u200e\u2060\ufeff\u00ad\u2063\ufe0f"


def accepted(rule: Any, address: str) -> bool:
    try:
        rule(address)
    except ValueError:
        return False
    return True


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def spellings(local: str, domain: str) -> st.SearchStrategy[str]:
    """Return other spellings: case, A-label, decomposed, full width, other dots, invisible characters."""
    label = idna.encode(domain, uts46=True).decode("ascii")
    domains = [domain, label, label.upper(), domain.upper() if "ß" not in domain else domain]
    domains += [unicodedata.normalize("NFD", domain), full_width(domain)]
    domains += [domain.replace(".", dot) for dot in "。．｡"]
    locals_ = [local, local.upper(), local.lower(), unicodedata.normalize("NFD", local), full_width(local)]
    at = st.sampled_from("@@＠﹫")
    plain = st.tuples(st.sampled_from(locals_), at, st.sampled_from(domains)).map("".join)
    place = st.tuples(plain, st.integers(0, 99), st.sampled_from(INVISIBLE))
    hidden = place.map(
        lambda one: f"{one[0][: one[1] % len(one[0])]}{one[2]}{one[0][one[1] % len(one[0]) :]}"
    )
    return (plain | hidden).map(lambda text: f" {text}\u00a0") | plain


@given(st.data(), WORDS, HOSTS)
@settings(max_examples=600, deadline=None)
def test_every_spelling_of_an_address_has_one_canonical_form(data: Any, local: str, domain: str) -> None:
    spelling = data.draw(spellings(local, domain))
    found = canonical_address(spelling)
    assert found.lower() == canonical_address(f"{local}@{domain}").lower()
    assert canonical_address(found) == found
    assert found.rpartition("@")[2].isascii()
    assert entered_address(spelling).written == spelling.strip()


@given(PLAIN)
@example("ada@xn--a.example")
@example("ada@ab--c.example")
@example("ada@example.local")
@example("a@b.c")
@example("a@b.1x")
@settings(max_examples=2_000, deadline=None)
def test_fast_path_and_library_agree(address: str) -> None:
    """Whatever the compiled pattern accepts, the rule accepts unchanged."""
    if len(address) <= PLAIN_LENGTH and PLAIN_ADDRESS.fullmatch(address):
        assert str(addresses._canonical(address)) == address


@given(ADDRESSES | PLAIN)
@example("a@xn--a.de")
@example("ada@example.com.")
@settings(max_examples=2_000, deadline=None)
def test_whatever_is_accepted_email_validator_accepts_and_means_the_same(address: str) -> None:
    if not accepted(canonical_address, address):
        return
    found = canonical_address(address)
    validated = validate_email(found, check_deliverability=False, test_environment=True)
    assert validated.local_part.lower() == found.rpartition("@")[0].lower()
    assert validated.ascii_domain == found.rpartition("@")[2].lower()


@given(ADDRESSES | PLAIN)
@settings(max_examples=2_000, deadline=None)
def test_address_that_email_validator_accepts_is_refused_only_for_a_reason(address: str) -> None:
    try:
        validated = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        return
    if not accepted(canonical_address, address):
        top = validated.ascii_domain.rpartition(".")[2]
        local = validated.local_part
        lookalike = unicodedata.normalize("NFKC", address) != unicodedata.normalize("NFC", address)
        dots = any(character in addresses._DOTS for character in address)
        long = len(local.lower().encode()) > 64
        one_letter = len(validated.domain.rpartition(".")[2]) == 1 or len(top) == 1
        assert lookalike or dots or long or one_letter or "=?" in local


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
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_canonical_address_may_be_planned(is_valid: Any, address: str) -> None:
    if accepted(canonical_address, address):
        assert is_valid(canonical_address(address))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("ada@xn--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("ada@faß.de", "ada@xn--fa-hia.de"),  # another domain than fass.de
        ("Ada@Example.com", "Ada@Example.com"),
        ("ada@x.test", "ada@x.test"),
        ("ΝΙΚΟΣ.ΠΑΠΠΑΣ@example.gr", "νικος.παππας@example.gr"),
    ],
)
def test_canonical_form(written: str, canonical: str) -> None:
    assert canonical_address(written) == canonical
    local, _, domain = canonical.rpartition("@")
    assert parse_address(written) == Address(local, domain)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ada@example.1", "must be a mail address with a valid domain"),
        ("ada@127.0.0.1", "must be a mail address with a valid domain"),
        ("ada@[127.0.0.1]", "must be a mail address with a valid domain"),
        ("ada@example.c", "must be a mail address with a valid domain"),
        ("ada@example.ö", "must be a mail address with a valid domain"),
        ("ada@localhost", "must be a mail address with a fully qualified domain"),
        ("ada@intranet.local", "must be a mail address with a valid domain"),
        ("ada@mail_1.example", "must be a mail address with a valid domain"),
        ("ada@xn--a.example", "must be a mail address with a valid domain"),
        ("ada@r3---sn.example", "must be a mail address with a valid domain"),
        ("ada@نامه\u200cای.com", "must be a mail address with a valid domain"),
        ("ada.@example.com", "must be a mail address, such as ada@example.com"),
        ("a da@example.com", "must be a mail address, such as ada@example.com"),
        ("ada@example.com;bob@example.com", "must be a mail address, such as ada@example.com"),
        ('"ada lovelace"@example.com', "must be a mail address, such as ada@example.com"),
        ("=?utf-8?q?x?=@example.com", "must be a mail address, such as ada@example.com"),
        ("ﬁ@example.com", "must not contain ﬁ, which looks like fi (U+FB01)"),
        ("a․b@example.com", "must not contain ․, which looks like . (U+2024)"),
        ("ada@example•com", "must not contain •, which looks like a dot (U+2022)"),
        ("ada", "must be a mail address, such as ada@example.com"),
        ("", "must be a mail address, such as ada@example.com"),
    ],
)
def test_refused_address_is_told_why(address: str, message: str) -> None:
    with pytest.raises(ValueError, match="must") as refusal:
        canonical_address(address)
    assert str(refusal.value) == message
