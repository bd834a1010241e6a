"""Tells whether the content of a step is text or HTML."""

from __future__ import annotations

import re
from functools import lru_cache

from sequence_store.domain.states import MailFormat
from sequence_store.mail.html_tokens import VOID, Kind, Token, attributes_of, tokens

# The elements of the HTML standard (https://html.spec.whatwg.org/multipage/indices.html#elements-3), and the
# obsolete ones that mails still use (https://html.spec.whatwg.org/multipage/obsolete.html).
ELEMENTS = frozenset(
    """a abbr address area article aside audio b base bdi bdo blockquote body br button canvas caption cite
    code col colgroup data datalist dd del details dfn dialog div dl dt em embed fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label legend li link
    main map mark menu meta meter nav noscript object ol optgroup option output p picture pre progress q rp
    rt ruby s samp script search section select slot small source span strong style sub summary sup svg
    table tbody td template textarea tfoot th thead time title tr track u ul var video wbr acronym basefont
    big center dir font marquee nobr strike tt""".split()
)
# No word of a language and without an end tag in many mails: one tag is enough.
_UNMISTAKABLE = frozenset(
    "html p br hr div span h1 h2 h3 h4 h5 h6 ul ol li dl dt dd td th tr tbody thead".split()
)
_WITHOUT_VALUE = frozenset("hidden nowrap noshade compact checked disabled reversed ismap".split())
_LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


@lru_cache(maxsize=512)  # as many as templates
def resolved_format(wanted: MailFormat | str, content: str) -> MailFormat:
    """Return `text` or `html`: what was asked for, or what the content is.

    A content is HTML if it holds an element of HTML's vocabulary: an address, a URL and words in angle
    brackets are none. An element is a tag that only HTML has (`<p>`, `<br>`), a tag whose attributes have
    values, or a tag with its end tag. The values that a template inserts do not count.
    """
    wanted = MailFormat(wanted)
    if wanted is not MailFormat.AUTO:
        return wanted
    source = _LIQUID.sub("x", content)
    if "<" not in source:
        return MailFormat.TEXT
    found = [token for token in tokens(source) if token.text in ELEMENTS]
    ends = {token.text: token.start for token in found if token.kind is Kind.END}
    is_html = any(_is_element(source, token, ends) for token in found if token.kind is Kind.START)
    return MailFormat.HTML if is_html else MailFormat.TEXT


def _is_element(source: str, tag: Token, ends: dict[str, int]) -> bool:
    attributes = list(attributes_of(source, tag))
    valued = {attribute.name for attribute in attributes if attribute.start < attribute.stop}
    if not {attribute.name for attribute in attributes} - valued <= _WITHOUT_VALUE:
        return False  # words: <a friend>
    if valued or tag.text in _UNMISTAKABLE:
        return True
    return tag.text not in VOID and ends.get(tag.text, -1) > tag.start
