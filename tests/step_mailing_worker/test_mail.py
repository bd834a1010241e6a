"""Tests of built mails: content, headers, links, templates and hostile values."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from sequence_store.domain.addresses import parse_address
from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import Fault
from sequence_store.errors import TemplateError
from sequence_store.mail.link_tokens import Link, LinkKind, LinkSigner
from sequence_store.mail.message_ids import message_id
from sequence_store.mail.plain_text import plain_text_of
from sequence_store.mail.templates import render
from step_mailing_worker import headers
from step_mailing_worker import mail as mail_module
from step_mailing_worker.errors import MailError
from step_mailing_worker.links import MailLinks
from step_mailing_worker.mail import Mail, MailOrder, build_mail

SECRET = b"secret"
KEY = SendKey(1, 2, 3, 1)
SIGNER = LinkSigner([b"link key"])


def links(**tracked: bool) -> MailLinks:
    return MailLinks(KEY, SIGNER, "https://u.example", **tracked)


def built(**values: Any) -> Mail:
    order = {
        "key": KEY,
        "send_at": datetime(2026, 6, 15, 9, 30, tzinfo=UTC),
        "contact_name": "Bob",
        "contact_address": "bob@people.example",
        "contact_attributes": {},
        "mail_subject": "Hello",
        "mail_content": "Hi",
        "thread_subject": None,
        "thread_step_ids": (),
        "mailbox_address": "ann@sender.example",
        "mailbox_display_name": "Ann",
        "links": links(),
    }
    return build_mail(MailOrder(**(order | values)), SECRET)


def parsed(**values: Any) -> Any:
    return message_from_bytes(built(**values).content, policy=policy.default)


def part(mail: Any, kind: str) -> str:
    return str(mail.get_body((kind,)).get_content()).replace("\r\n", "\n")


def test_mail_has_what_receivers_ask_for() -> None:
    mail = parsed()
    assert mail["Date"] == "Mon, 15 Jun 2026 09:30:00 +0000"
    assert mail["Message-ID"] == message_id(SendKey(1, 2, 3, 1), "sender.example", SECRET)
    assert mail["MIME-Version"] == "1.0"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_mail_is_the_same_for_every_attempt() -> None:
    assert built().content == built().content


def test_message_id_names_the_send_and_cannot_be_made_up() -> None:
    ours = message_id(SendKey(1, 2, 3, 1), "sender.example", SECRET)
    assert ours.startswith("<1.2.3.1.")
    assert ours != message_id(SendKey(1, 2, 3, 1), "sender.example", b"another secret")
    assert ours.rpartition(".3.1.")[2] != message_id(SendKey(1, 2, 4, 1), "x", SECRET).rpartition(".4.1.")[2]


def test_every_mail_can_be_unsubscribed_from_with_one_click() -> None:
    mail = parsed()
    url = mail["List-Unsubscribe"].strip("<>")
    assert url.startswith("https://u.example/u/")
    assert SIGNER.read(url.rpartition("/")[2]) == Link(LinkKind.UNSUBSCRIBE, KEY)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("Hi", ["Hi\n\nUnsubscribe: URL\n", '<p><a href="URL">Unsubscribe</a></p>\n</body></html>\n']),
        ("Bye: {{ unsubscribe_url }}", ["Bye: URL\n", '<p>Bye: <a href="URL">URL</a></p>\n</body></html>\n']),
        ("<p>Hi</p>", ["Hi\n\nUnsubscribe (URL)\n", '<p>Hi</p>\n<p><a href="URL">Unsubscribe</a></p>\n']),
        (
            "<html><body><p>Hi</p></BODY ></html>",
            ["Hi\n\nUnsubscribe (URL)\n", '<p><a href="URL">Unsubscribe</a></p>\n</BODY ></html>\n'],
        ),
        ("<a href='{{ unsubscribe_url }}'>Stop</a>", ["Stop (URL)\n", "<a href='URL'>Stop</a>\n"]),
    ],
)
def test_link_to_unsubscribe_is_seen_once_whether_or_not_the_template_has_it(
    content: str, shown: list[str]
) -> None:
    mail = parsed(mail_content=content)
    for kind, end in zip(("plain", "html"), shown, strict=True):
        text = part(mail, kind)
        assert text.endswith(end.replace("URL", links().unsubscribe_url)), text
        assert text.replace(f'"{links().unsubscribe_url}">http', "http").count("/u/") == 1


LINKED = """<html><body>
<p><a class=x HREF = 'https://example.com/?a=1&amp;b=2#c' title="href='https://no.example'">one</a>
<a href="mailto:ann@sender.example">two</a> <a href="#top">three</a> <a>four</a> <a href>five</a>
<!-- <a href="https://comment.example">no</a> --><a
 href=http://example.com/bare>six</a><img src="https://img.example/x.png">
<script>"<a href='https://script.example'>"</script>
<a href="{{ unsubscribe_url }}">stop</a><a href="javascript:alert(1)">seven</a>
</p></body></html>"""


def test_links_are_rewritten_and_a_pixel_is_there_exactly_where_the_sequence_wants_them() -> None:
    plain = part(parsed(mail_content=LINKED), "html")
    assert plain == LINKED.replace("{{ unsubscribe_url }}", links().unsubscribe_url) + "\n"
    opened = part(parsed(mail_content=LINKED, links=links(opens=True)), "html")
    pixel = f"https://u.example/t/{SIGNER.sign(Link(LinkKind.OPEN, KEY))}"
    image = f'<img src="{pixel}" width="1" height="1" alt="">\n'
    assert opened == plain.replace("</body>", f"{image}</body>")
    clicked = part(parsed(mail_content=LINKED, links=links(clicks=True)), "html")
    first, second = (
        f'"https://u.example/t/{SIGNER.sign(Link(LinkKind.CLICK, KEY, place, target))}"'
        for place, target in ((0, "https://example.com/?a=1&b=2#c"), (3, "http://example.com/bare"))
    )
    wanted = plain.replace("'https://example.com/?a=1&amp;b=2#c'", first)
    assert clicked == wanted.replace("http://example.com/bare", second)


def test_text_part_shows_where_links_lead_also_where_they_are_tracked() -> None:
    mail = parsed(mail_content=LINKED, links=links(opens=True, clicks=True))
    text = part(mail, "plain")
    assert "one (https://example.com/?a=1&b=2#c)" in text
    assert "/t/" not in text


def test_tracked_mail_is_the_same_for_every_attempt() -> None:
    values = {"mail_content": LINKED, "links": links(opens=True, clicks=True)}
    assert built(**values).content == built(**values).content


def read_links(page: str) -> list[str]:
    """Return the targets of a page's links as a browser reads it; of tracked ones what the token says."""
    found = (node.attributes["href"] for node in LexborHTMLParser(page).css("a[href], area[href]"))
    return [followed((target or "").strip(" \t\n\f\r")) for target in found]


def followed(target: str) -> str:
    link = SIGNER.read(target.removeprefix("https://u.example/t/"))
    return link.target if link else target


PIECES = st.sampled_from(
    [
        "<a href=",
        "<a HREF = ",
        "<area\nhref=",
        "<a title='href=",
        '"https://a.example/?x=1&amp;y=2"',
        "'http://b.example/\n'",
        "https://c.example/é",
        '"http://d.example/?a=1&copy=2&notin&sect;',
        "'",
        '"',
        " href=",
        "/",
        ">",
        "</a>",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        "<b ",
        " text\n",
        "=",
        "&quot;",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_whatever_the_html_is_tracking_changes_no_target(page: str) -> None:
    assert sorted(read_links(links(clicks=True).tracked(page))) == sorted(read_links(page))


# Names of entities that URLs' parameters have, too; and what breaks a careless reader of URLs.
WORDS = [
    "notin",
    "times",
    "copy",
    "sect",
    "currency",
    "region",
    "amp",
    "lt",
    "para",
    "not",
    "é",
    "ü",
    "b%20c",
    "1",
]
QUERY = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from(["", "=", "=1", ";", "=(x)", "=[y]", "=a,b"]))
)
URLS = st.builds(
    "https://shop.example/{}{}{}".format,
    st.sampled_from(["", "a(b)", "a;b", "~c/d.e", "日本"]),
    QUERY.map(lambda pairs: "?" + "&".join(name + rest for name, rest in pairs) if pairs else ""),
    st.sampled_from(["", "#top", "#!/copy&times=1", "#a;b"]),
)


@pytest.mark.parametrize("clicks", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        '<p><a href="{url}">here</a></p>',
        "<p><a href='{url}'>here</a></p>",
        "<p><a class=x href={url}>here</a></p>",
        '<p><a href="{{{{ contact.attributes.url }}}}">here</a></p>',
    ],
)
@settings(max_examples=30, deadline=None)
@given(url=URLS)
def test_link_leads_where_it_was_written_in_every_part(content: str, clicks: bool, url: str) -> None:
    written = content.format(url=url)
    target = url if "{{" in written else read_links(written)[0]
    mail = parsed(
        mail_content=written, contact_attributes={"url": url}, links=links(clicks=clicks, opens=True)
    )
    assert read_links(part(mail, "html"))[0] == target
    assert f"here ({target})" in part(mail, "plain")


@settings(max_examples=60, deadline=None)
@given(url=URLS)
def test_url_of_a_text_becomes_a_link_to_it_that_counts(url: str) -> None:
    mail = parsed(mail_content="See {{ contact.attributes.url }} now", contact_attributes={"url": url},
                  links=links(clicks=True))  # fmt: skip
    assert part(mail, "plain").startswith(f"See {url} now\n")
    first = read_links(part(mail, "html"))[0]
    assert url.startswith(first)
    assert url[len(first) :].strip(";,()") == ""
    assert "/t/" in part(mail, "html")


@pytest.mark.parametrize("clicks", [True, False])
def test_url_with_names_of_entities_leads_where_it_was_written(clicks: bool) -> None:
    url = "https://shop.example/?a=1&currency=EUR&region=DE"
    for content in (f'<a href="{url}">x</a>', f"<a href={url}>x</a>", f"Look: {url}"):
        mail = parsed(mail_content=content, links=links(clicks=clicks))
        assert read_links(part(mail, "html"))[0] == url
        assert url in part(mail, "plain")


def test_text_with_angle_brackets_keeps_its_words_and_lines() -> None:
    text = "Dear <first name>,\nwrite to <ann@sender.example>\nor see <https://sender.example/?a=1&b=2>: x<y"
    mail = parsed(mail_content=text, links=links(clicks=True))
    assert part(mail, "plain").startswith(text + "\n")
    page = part(mail, "html")
    assert "Dear &lt;first name&gt;,<br>\n" in page
    assert "&lt;ann@sender.example&gt;<br>\n" in page
    assert read_links(page)[0] == "https://sender.example/?a=1&b=2"


@pytest.mark.parametrize(("mail_format", "shown"), [("text", "&lt;b&gt;Hi&lt;/b&gt;"), ("html", "<b>Hi</b>")])
def test_format_that_is_chosen_holds_whatever_the_content_is(mail_format: str, shown: str) -> None:
    mail = parsed(mail_content="<b>Hi</b>", mail_format=mail_format)
    assert shown in part(mail, "html")


@pytest.mark.parametrize(
    "content",
    [
        "<p>Hi</p><!-- {{ unsubscribe_url }} -->",
        "<p>Hi</p><!-- <a href='{{ unsubscribe_url }}'>x</a>",
        "<body><p>Hi</p><!-- </body> --></body>",
        "<style>{{ unsubscribe_url }}</style><p>Hi</p>",
        "<p>Hi</p><style>p {}",
        "<p>Hi</p><textarea>",
        '<p>Hi</p><a title="{{ unsubscribe_url }}',
        "<div hidden><a href='{{ unsubscribe_url }}'>x</a></div><p>Hi</p>",
        "<div style='display: none'><p>Hi</p><a href='{{ unsubscribe_url }}'>x</a>",
        "<img src='{{ unsubscribe_url }}'><p>Hi</p>",
        "<p>Hi</p>",
    ],
)
def test_every_reader_sees_a_link_to_unsubscribe(content: str) -> None:
    mail = parsed(mail_content=content, links=links(clicks=True, opens=True))
    page = LexborHTMLParser(part(mail, "html"))
    page.strip_tags(["style", "script", "title", "textarea"])
    for node in page.css("[hidden], [style]"):
        node.decompose()
    assert links().unsubscribe_url in [node.attributes["href"] for node in page.css("a[href]")]
    assert links().unsubscribe_url in part(mail, "plain")


@pytest.mark.parametrize(
    "content", ["<a href='{{ unsubscribe_url }}'>x</a>", "<p>Stop: {{ unsubscribe_url }}</p>"]
)
def test_link_to_unsubscribe_that_is_seen_is_not_repeated(content: str) -> None:
    assert part(parsed(mail_content=content), "html").count("/u/") == 1


def test_link_of_a_hostile_value_stays_one_link() -> None:
    hostile = 'https://example.com/"><script>alert(1)</script>'
    mail = parsed(
        mail_content='<a href="{{ contact.attributes.x }}">x</a>',
        contact_attributes={"x": hostile},
        links=links(clicks=True),
    )
    page = part(mail, "html")
    assert "<script" not in page
    assert page.startswith(
        f'<a href="https://u.example/t/{SIGNER.sign(Link(LinkKind.CLICK, KEY, 0, hostile))}">'
    )


@pytest.mark.parametrize(
    "poison",
    [
        "Hi\r\nBcc: evil@x.example",
        "Hi\nBcc: evil@x.example",
        "=?utf-8?q?Hi=0ABcc=3A_evil=40x=2Ecom?=",
        *(f"a{c}b" for c in "\u2028\u2029\u0085\v\f\0\x7f\x1b\t"),
    ],
)
def test_no_header_takes_a_line_a_control_character_or_an_encoded_word(poison: str) -> None:
    for values, fault in [
        ({"mail_subject": poison}, Fault.MESSAGE),
        ({"contact_name": poison}, Fault.MESSAGE),
        ({"mail_subject": "{{ contact.attributes.x }}", "contact_attributes": {"x": poison}}, Fault.MESSAGE),
        ({"mailbox_display_name": poison}, Fault.MAILBOX),
        ({"mailbox_address": f"{poison}@sender.example"}, Fault.MAILBOX),
        ({"contact_address": f"{poison}@people.example"}, Fault.RECIPIENT),
        ({"contact_address": f"bob@{poison}.example"}, Fault.RECIPIENT),
    ]:
        with pytest.raises(MailError) as refused:
            built(**values)
        assert refused.value.fault is fault
        assert "evil" not in str(refused.value)


@pytest.mark.parametrize("field", ["mail_subject", "contact_name", "mailbox_display_name"])
@pytest.mark.parametrize(
    "poison",
    [
        "Hi\r\nBcc: evil@x.example",
        "Hi\r\n\r\nanother body",
        "Hi\r\nSubject: twice",
        "=?utf-8?q?Hi=0ABcc=3A_evil=40x=2Ecom?=",
    ],
)
def test_what_gets_past_the_first_guard_is_refused_because_it_reads_otherwise(
    monkeypatch: pytest.MonkeyPatch, field: str, poison: str
) -> None:
    monkeypatch.setattr(headers, "checked", lambda value: value)
    monkeypatch.setattr(headers, "_PLAIN_LENGTH", 1_000)
    with pytest.raises(MailError, match="reads otherwise"):
        built(**{field: poison})


@pytest.mark.parametrize(
    "poison", ["--=_{0}--\r\n", "\r\n--=_{0}\r\nContent-Type: text/x-evil\r\n\r\nevil\r\n", "=3D", "\u00e9"]
)
def test_part_that_reads_otherwise_than_it_was_written_is_refused(
    monkeypatch: pytest.MonkeyPatch, poison: str
) -> None:
    """Simulate a broken encoder that does not encode."""
    boundary = built().message_id.rpartition("@")[0].rpartition(".")[2]
    monkeypatch.setattr(mail_module, "b2a_qp", lambda data, **_: data)
    with pytest.raises(MailError, match="reads otherwise"):
        built(mail_content=poison.format(boundary) + "=41")


@pytest.mark.parametrize(
    "name", ['Bob, "x" <y@z.example>', "Å\\sa", "a" * 300, "ümlaut" * 80, "(comment)", "🎈", "'q'"]
)
def test_any_name_is_one_mailbox_for_whoever_reads_it(name: str) -> None:
    mail = parsed(mailbox_display_name=name, contact_name=name)
    for header in ("From", "To"):
        (mailbox,) = mail[header].addresses
        assert mailbox.display_name.replace(" ", "") == name.replace(" ", "")


@pytest.mark.parametrize(
    "subject", ["word " * 1000 + "end", "🎈" * 1200, "x" * 5000, "שלום עולם", "a  b", "100% = ?"]
)
def test_any_subject_reads_as_it_was_written_and_no_line_is_too_long(subject: str) -> None:
    mail = built(mail_subject=subject)
    assert message_from_bytes(mail.content, policy=policy.default)["Subject"] == subject
    assert max(len(line) for line in mail.content.split(b"\r\n")) <= 78


PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=120)
ANY = st.text(st.characters(exclude_categories=("Cs",)), max_size=400)


@settings(max_examples=300, deadline=None)
@given(subject=PRINTABLE, name=PRINTABLE, value=ANY)
def test_what_is_built_reads_as_it_was_meant_and_all_else_is_refused(
    subject: str, name: str, value: str
) -> None:
    attributes = {"s": subject, "v": value}
    content = "<p>{{ contact.attributes.v }}</p>"
    if "=?" in subject + name or not subject.strip(" "):
        with pytest.raises(MailError):
            built(contact_name=name, contact_attributes=attributes, mail_subject="{{ contact.attributes.s }}")
        return
    mail = parsed(
        mailbox_display_name=name,
        contact_attributes=attributes,
        mail_subject="{{ contact.attributes.s }}",
        mail_content=content,
    )
    assert mail.keys() == [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "MIME-Version",
        "Content-Type",
    ]
    assert mail["Subject"] == subject.strip(" ")
    (mailbox,) = mail["From"].addresses
    assert "".join(mailbox.display_name.split()) == "".join(name.split())
    assert mailbox.addr_spec == "ann@sender.example"


def test_values_are_escaped_in_html_and_nowhere_else() -> None:
    attributes = {"x": "<b>&\"'"}
    markup = parsed(
        mail_subject="{{ contact.attributes.x }}",
        mail_content="<p>{{ contact.attributes.x }}</p>",
        contact_attributes=attributes,
    )
    assert markup["Subject"] == "<b>&\"'"
    assert part(markup, "html").startswith("<p>&lt;b&gt;&amp;&#34;&#39;</p>\n")
    assert part(markup, "plain").startswith("<b>&\"'\n")
    text = parsed(mail_content="{{ contact.attributes.x }}\n\nBye\nAnn", contact_attributes=attributes)
    assert part(text, "plain").splitlines()[:4] == ["<b>&\"'", "", "Bye", "Ann"]
    html = text.get_body(("html",)).get_content().splitlines()
    assert html[1:4] == ["<p>&lt;b&gt;&amp;\"'</p>", "<p>Bye<br>", "Ann</p>"]


def test_html_has_a_plain_part_that_says_the_same() -> None:
    html = """<style>p {}</style><h1>Hi   Bob</h1>
    <p>See <a href="https://a.example/x">the plan</a> &amp; more<br>now</p>
    <ul><li>one</li><li>two</li></ul><a href="mailto:a@b.example">a@b.example</a>"""
    assert plain_text_of(html) == (
        "Hi Bob\n\nSee the plan (https://a.example/x) & more\nnow\n\n- one\n- two\n\na@b.example\n"
    )


def test_plain_part_keeps_cells_apart_the_texts_of_images_and_the_numbers_of_lists() -> None:
    html = """<table><tr><th>Item</th><th>Price</th></tr><tr><td>Tea</td><td>2 EUR</td></tr></table>
    <img src="x.png" alt="A cup"><img src="y.png"><a href="https://a.example"><img src="z.png" alt="Shop"></a>
    <ol><li>one</li><li>two<ul><li>dash</li></ul></li>
    <li value="7">seven</li></ol><ol start="4"><li>four</ol>"""
    assert plain_text_of(html) == (
        "Item | Price\nTea | 2 EUR\n\nA cupShop (https://a.example)\n\n1. one\n2. two\n\n- dash\n\n"
        "7. seven\n\n4. four\n"
    )


@pytest.mark.parametrize(
    "template",
    [
        "{{ contact.nothing }}",
        "{{ nothing }}",
        "{{ contact.attributes.missing }}",
        "{{ contact.__class__ }}",
        "{{ contact.name.__class__ }}",
        "{{ contact.attributes | safe }}",
        "{{ contact | attr: 'x' }}",
        "{% include 'secrets' %}",
        "{% render 'secrets' %}",
        "{% import os %}",
        "{{ contact.name",
        "{% for x in (1..1000000000) %}x{% endfor %}",
        "{% for a in (1..1000) %}" * 3 + "x" + "{% endfor %}" * 3,
        "{{ (1..1000000000) | join: 'x' }}",
        "{% assign s = 'xxxxxxxxxx' %}" + "{% assign s = s | replace: 'x', s %}" * 30 + "{{ s }}",
        "{% assign s = 'xxxxxxxxxx' %}" + "{% assign s = s | append: s %}" * 60 + "{{ s }}",
        "{% assign s = 'xxxxxxxxxx' %}" + "{% assign s = s | split: '' | join: s %}" * 30 + "{{ s }}",
        "{% if true %}" * 500 + "{% endif %}" * 500,
        "{{ 1 | divided_by: 0 }}",
    ],
)
def test_template_that_asks_for_too_much_or_for_the_unknown_is_refused_at_once(template: str) -> None:
    started = time.perf_counter()
    with pytest.raises(TemplateError) as refused:
        render(template, {"contact": {"name": "Bob", "attributes": {"a": 1}}}, escape=False)
    assert time.perf_counter() - started < 1
    assert len(str(refused.value)) < 200


def test_missing_attribute_may_have_a_default() -> None:
    names = {"contact": {"attributes": {}}}
    assert render("{{ contact.attributes.firm | default: 'you' }}", names, escape=False) == "you"


def test_mail_without_any_subject_is_refused_and_a_follow_up_takes_the_threads() -> None:
    with pytest.raises(MailError, match="subject"):
        built(mail_subject=None)
    assert parsed(mail_subject=" ", thread_subject="Hello {{ contact.name }}")["Subject"] == "Hello Bob"


def test_follow_up_names_every_earlier_mail_of_its_thread() -> None:
    mail = parsed(thread_step_ids=[7, 8])
    first, second = (message_id(SendKey(1, 2, step, 1), "sender.example", SECRET) for step in (7, 8))
    assert (mail["In-Reply-To"], mail["References"]) == (second, f"{first} {second}")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("bob@people.example", "bob@people.example"),
        (" bob+tag@People.Example ", "bob+tag@People.Example"),
        ("bob@bücher.example", "bob@xn--bcher-kva.example"),
        ("bob@straße.example", "bob@xn--strae-oqa.example"),
        ("bob@BÜCHER.example", "bob@xn--bcher-kva.example"),
        ("jürgen@people.example", "jürgen@people.example"),
    ],
)
def test_address_keeps_its_local_part_and_gets_an_ascii_domain(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize(
    "text",
    ["", "bob", "@x.example", "bob@", "a@b@c.example", "a@b.example, c@d.example", "Bob <b@x.example>",
     '"a b"@x.example',
     "a b@x.example", "a..b@x.example", ".a@x.example", "a@x..example", "a@-x.example", "a@[127.0.0.1]",
     "=?x?@y.example",
     "a" * 65 + "@x.example", "a@" + "b" * 64 + ".example", "a@" + "bcd." * 80 + "example"],
)  # fmt: skip
def test_what_is_not_one_plain_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a mail address"):
        parse_address(text)
