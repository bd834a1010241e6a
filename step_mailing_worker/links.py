"""Writes the links of a mail: unsubscribe always, open pixel and tracked links if they are enabled."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser

from sequence_store.domain.messages import SendKey
from sequence_store.mail.content import at_end_of_body
from sequence_store.mail.link_tokens import LONGEST_TOKEN, Link, LinkKind, LinkSigner

_ATTRIBUTE = re.compile(
    r"""[\s/]*(?P<name>[^\s/>=][^\s/>=]*)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[^\s>"']*))?""", re.DOTALL
)
_TAG_NAME = re.compile(r"<[a-zA-Z][^\s/>]*")
_LINKING = frozenset({"a", "area"})
_LINE_START = re.compile(r"\n")


@dataclass(frozen=True)
class MailLinks:
    """Writes a mail's links; the same send always gets the same links."""

    send: SendKey
    signer: LinkSigner
    base_url: str
    opens: bool = False
    clicks: bool = False

    @cached_property
    def unsubscribe_url(self) -> str:
        return f"{self.base_url}/u/{self.signer.sign(Link(LinkKind.UNSUBSCRIBE, self.send))}"

    def tracked(self, page: str) -> str:
        """Return the HTML part with tracked links and the open pixel, as far as they are enabled."""
        if self.clicks:
            page = self._with_tracked_links(page)
        if self.opens:
            pixel = html.escape(f"{self.base_url}/t/{self.signer.sign(Link(LinkKind.OPEN, self.send))}")
            page = at_end_of_body(page, f'<img src="{pixel}" width="1" height="1" alt="">')
        return page

    def _with_tracked_links(self, page: str) -> str:
        finder = _LinkFinder(page)
        parts, end = [], 0
        for position, (start, stop, target) in enumerate(finder.found):
            parts += [page[end:start], self._tracked_attribute(position, target) or page[start:stop]]
            end = stop
        return "".join((*parts, page[end:]))

    def _tracked_attribute(self, position: int, target: str) -> str | None:
        """Return the attribute that links to `target` through the tracking host, or None if not tracked."""
        if not target.lower().startswith(("http://", "https://")) or target == self.unsubscribe_url:
            return None
        token = self.signer.sign(Link(LinkKind.CLICK, self.send, position, target))
        return f'"{html.escape(f"{self.base_url}/t/{token}")}"' if len(token) <= LONGEST_TOKEN else None


class _LinkFinder(HTMLParser):
    """Finds the positions of `href` values in a page as an HTML parser does: not in comments or scripts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[int, int, str]] = []
        self._line_starts = [0, *(match.end() for match in _LINE_START.finditer(page))]
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = self.get_starttag_text() or ""
        if tag not in _LINKING or not (name := _TAG_NAME.match(source)):
            return
        line, column = self.getpos()
        start = self._line_starts[line - 1] + column
        for attribute in _ATTRIBUTE.finditer(source, name.end()):
            if attribute["name"].lower() == "href":  # browsers use the first one
                value = attribute["value"] or ""
                target = html.unescape(value.strip("\"'") if value[:1] in {'"', "'"} else value).strip()
                if value and target == (dict(reversed(attrs)).get("href") or "").strip():
                    self.found.append(
                        (start + attribute.start("value"), start + attribute.end("value"), target)
                    )
                return
