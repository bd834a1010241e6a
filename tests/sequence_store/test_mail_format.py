"""Tests of what the content of a step is taken for."""

from __future__ import annotations

import pytest

from sequence_store.domain.states import MailFormat
from sequence_store.mail.mail_format import resolved_format

TEXT = """Hi Bob
Write to <ann@sender.example>
<https://sender.example/a?b=1&c=2>
<mailto:ann@sender.example>
Dear <first name>
Dear <name>, <title>, <address>
<your company>
<a friend>
<i am here>
<s>
if x<y and y>z
if a <b and c> d
a < b
{% if a < b %}Hi{% endif %}
{{ contact.name | default: "<b>" }}
<!-- a remark -->
</p>
<link>
<time for lunch>
<o:p></o:p>
I <3 you"""
HTML = """<p>Hi
Hi<br>Bob
Hi <b>Bob</b>
<B>Bob</B>
<div>
<a href="https://a.example">a</a>
<a href={{ unsubscribe_url }}>a</a>
<img src="a.png">
<img src="a.png" hidden>
<table><tr><td>1</td></tr></table>
<font color=red>Hi
<center>Hi</center>
<h1>Hi
<html><body>Hi</body></html>
Write to <ann@sender.example><br/>
<strong>Hi</strong> <first name>"""


@pytest.mark.parametrize("content", TEXT.splitlines())
def test_words_and_addresses_in_angle_brackets_are_text(content: str) -> None:
    assert resolved_format("auto", content) is MailFormat.TEXT


@pytest.mark.parametrize("content", HTML.splitlines())
def test_element_of_html_makes_it_html(content: str) -> None:
    assert resolved_format("auto", content) is MailFormat.HTML


@pytest.mark.parametrize("content", ["<p>Hi</p>", "Hi"])
def test_what_is_asked_for_holds(content: str) -> None:
    assert resolved_format("text", content) is MailFormat.TEXT
    assert resolved_format("html", content) is MailFormat.HTML
