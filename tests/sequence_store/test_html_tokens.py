"""Tests that pages are read as browsers read them; Lexbor, a browser's parser, is the measure."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from sequence_store.mail.html_tokens import Kind, attributes_of, tokens, value_of

PIECES = st.sampled_from(
    """<a href=|<A HREF="|<area href='|http://x/?a=1|&copy|&copy=|&notin;|&notit;|&times|&sect;
    |&amp;|&#38;|&#x26|&lt|&|"|'|>|/>| |\n|=|<|</a>|<!--|-->|--!>|<!-->|<!doctype html>|<?x?>
    |</ x>|<b>|<title>|</title>|<script>|</script>|<style>|</style >|<textarea>|</textarea>|<p
    |<p x y=1 y=2>|x|é|<xmp>|</xmp>|</|<noscript>|<img alt="&copy;">|#frag|;|&curren|</SCRIPT\t>
    |<plaintext>|&region=DE|&#0;|&#x110000;|&unknown;|&AMP|\f|`|日""".replace("\n    |", "|").split("|")
)


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_links_of_any_page_are_those_of_a_browser(page: str) -> None:
    found = [
        value_of(page, token, "href")
        for token in tokens(page)
        if token.kind is Kind.START and token.text in {"a", "area"}
    ]
    read = {node.attributes["href"] or "" for node in LexborHTMLParser(page).css("a[href], area[href]")}
    assert {href for href in found if href is not None} == read


@given(st.lists(PIECES, max_size=25).map("".join))
def test_tokens_are_the_page_and_attributes_lie_where_they_say(page: str) -> None:
    at = 0
    for token in tokens(page):
        if token.kind is Kind.UNENDED:
            assert token.stop == len(page)
            return
        assert token.start == at
        at = token.stop
        for attribute in attributes_of(page, token) if token.kind is Kind.START else ():
            assert token.start < attribute.start <= attribute.stop < token.stop
    assert at == len(page)


@pytest.mark.parametrize(
    "page",
    ["<" * 100_000, "<a " * 100_000, "<!--" * 100_000, "&" * 100_000, "<a href='" * 50_000, "<a x=" * 100_000,
     "<a b" + " " * 100_000, "<title>" * 100_000, "<a " + "b " * 100_000],
)  # fmt: skip
def test_hostile_page_is_read_in_a_moment(page: str) -> None:
    began = time.process_time()
    list(tokens(page))
    assert time.process_time() - began < 3
