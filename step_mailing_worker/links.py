"""Writes the links of a mail: unsubscribe always, open pixel and tracked links if they are enabled."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sequence_store.domain.messages import SendKey
from sequence_store.mail.content import end_of_body
from sequence_store.mail.html_tokens import Attribute, Kind, Token, attribute_of, tokens
from sequence_store.mail.link_tokens import LONGEST_TOKEN, Link, LinkKind, LinkSigner

_LINKING = frozenset({"a", "area"})
_SPACES = " \t\n\f\r"  # browsers ignore them around a URL


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
        if not (self.clicks or self.opens):
            return page
        found = list(tokens(page))
        place = end_of_body(page, found)
        head, tail = page[:place], page[place:]
        if self.clicks:
            links = [href for token in found if (href := _href(page, token))]
            head = self._with_tracked_links(page, links, 0, place)
            tail = self._with_tracked_links(page, links, place, len(page))
        if self.opens:
            pixel = html.escape(f"{self.base_url}/t/{self.signer.sign(Link(LinkKind.OPEN, self.send))}")
            head += f'<img src="{pixel}" width="1" height="1" alt="">\n'
        return head + tail

    def _with_tracked_links(self, page: str, links: Sequence[Attribute], start: int, stop: int) -> str:
        """Return page[start:stop] with its links tracked; a link's number is its place in the whole page."""
        parts, end = [], start
        for position, href in enumerate(links):
            if start <= href.start < stop:
                tracked = self._tracked_attribute(position, href.value.strip(_SPACES))
                parts += [page[end : href.start], tracked or page[href.start : href.stop]]
                end = href.stop
        return "".join((*parts, page[end:stop]))

    def _tracked_attribute(self, position: int, target: str) -> str | None:
        """Return the attribute that links to `target` through the tracking host, or None if not tracked."""
        if not target.lower().startswith(("http://", "https://")) or target == self.unsubscribe_url:
            return None
        token = self.signer.sign(Link(LinkKind.CLICK, self.send, position, target))
        return f'"{html.escape(f"{self.base_url}/t/{token}")}"' if len(token) <= LONGEST_TOKEN else None


def _href(page: str, token: Token) -> Attribute | None:
    """Return the attribute that makes a tag a link, unless it is empty; browsers use the first one."""
    if token.text not in _LINKING or token.kind is not Kind.START:
        return None
    href = attribute_of(page, token, "href")
    return href if href and href.value.strip(_SPACES) else None
