"""Converts an HTML mail to plain text with the same content."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_UNSEEN = frozenset({"script", "style", "head", "title"})
_PARAGRAPHS = frozenset({"p", "div", "table", "ul", "ol", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6"})
_LINES = frozenset({"br", "tr", "hr", "li"})
_BLANKS = re.compile(r"[^\S\n]+")
_LINE_END = re.compile(r" ?\n ?")
_EMPTY_LINES = re.compile(r"\n{3,}")


def plain_text_of(html: str) -> str:
    """Return the text of `html` with its paragraphs, list items and link targets."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    text = _BLANKS.sub(" ", "".join(reader.parts))
    text = _LINE_END.sub("\n", text)
    return _EMPTY_LINES.sub("\n\n", text).strip() + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0
        self._links: list[tuple[str, int]] = []

    def updatepos(self, _: int, end: int) -> int:
        return end  # skips the line count, which is not used

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag in _PARAGRAPHS:
            self.parts.append("\n\n")
        elif tag in _LINES:
            self.parts.append("\n- " if tag == "li" else "\n")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.parts)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _PARAGRAPHS:
            self.parts.append("\n\n")
        elif tag == "a" and self._links:
            self._end_link(*self._links.pop())

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data.replace("\n", " "))  # plain_text_of joins blanks at the end

    def _end_link(self, target: str, start: int) -> None:
        shown = " ".join("".join(self.parts[start:]).split())
        if target.startswith(("http://", "https://", "mailto:")) and shown not in {
            target,
            target.removeprefix("mailto:"),
        }:
            self.parts.append(f" ({target})")
