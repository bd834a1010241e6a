"""Converts an HTML mail to plain text with the same content, and tells what a reader sees of it."""

from __future__ import annotations

import re

from sequence_store.mail.html_tokens import VOID, Kind, Token, tokens, value_of

_UNSEEN = frozenset("script style head title template noframes iframe".split())
_PARAGRAPHS = frozenset("p div table ul ol dl blockquote h1 h2 h3 h4 h5 h6 pre section article".split())
_LINES = frozenset("br tr hr dt dd".split())
_CELLS = frozenset({"td", "th"})
_LINKING = frozenset({"a", "area"})
_LISTS = frozenset({"ul", "ol", "menu"})
_CELL_END = "\x1f"  # no text of a page keeps this character
_BLANKS = re.compile(r"[^\S\n]+")
_BETWEEN_CELLS = re.compile(rf"(?<=\S)[^\S\n]*{_CELL_END}+[^\S\n]*(?=[^\s{_CELL_END}])")
_LINE_END = re.compile(r" ?\n ?")
_EMPTY_LINES = re.compile(r"\n{3,}")
_MAY_HIDE = re.compile(r"hidden|display|visibility|font-size", re.IGNORECASE)
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])", re.IGNORECASE)


def plain_text_of(page: str) -> str:
    """Return the text of a page with its paragraphs, lists, cells, images' texts and link targets."""
    return PageReader(page).text


class PageReader:
    """Reads a page once: its text, and what a reader of it sees."""

    def __init__(self, page: str) -> None:
        self.tokens = list(tokens(page))
        self._page = page
        self._parts: list[str] = []
        self._targets: list[str] = []  # of the links that a reader sees
        self._hidden_parts: list[tuple[int, int]] = []  # where `_parts` come from hidden elements
        self._unseen: list[str] = []  # the open elements of the name of the outermost one without text
        self._hidden: list[str] = []  # the same of the outermost one that is hidden, such as a preheader
        self._hidden_from = 0
        self._may_hide = _MAY_HIDE.search(page) is not None
        self._lists: list[int | None] = []  # the next number of each open list; None if it has no numbers
        self._link: tuple[str, int] | None = None
        self._cells = 0  # of the row
        for token in self.tokens:
            self._read(token)
        self._end_link()
        if self._hidden:
            self._hidden_parts.append((self._hidden_from, len(self._parts)))

    @property
    def text(self) -> str:
        text = "".join(self._parts)
        if _CELL_END in text:
            text = _BETWEEN_CELLS.sub(" | ", text).replace(_CELL_END, " ")
        text = _LINE_END.sub("\n", _BLANKS.sub(" ", text))
        return _EMPTY_LINES.sub("\n\n", text).strip() + "\n"

    @property
    def hides(self) -> bool:
        """Return whether the page has hidden elements, or is cut off inside of something."""
        return bool(self._hidden_parts or (self.tokens and self.tokens[-1].kind is Kind.UNENDED))

    def shows(self, url: str) -> bool:
        """Return whether a reader sees the URL, as a link's target or in the text."""
        if url in self._targets:
            return True
        seen, at = [], 0
        for start, stop in self._hidden_parts:
            seen += self._parts[at:start]
            at = stop
        return url in "".join((*seen, *self._parts[at:]))

    def _read(self, token: Token) -> None:
        kind, name = token.kind, token.text
        if kind is Kind.TEXT:
            if not self._unseen:
                self._parts.append(name.replace("\n", " ").replace(_CELL_END, " "))
        elif kind is Kind.START:
            if self._unseen:
                if name == self._unseen[0]:
                    self._unseen.append(name)
            elif name in _UNSEEN:
                self._unseen.append(name)
            else:
                self._note_hiding(token)
                self._start(token)
        elif kind is Kind.END:
            if self._unseen:
                if name == self._unseen[0]:
                    self._unseen.pop()
                return
            self._end(name)

    def _note_hiding(self, token: Token) -> None:
        """Follow the elements that are hidden in HTML. Their text belongs to the plain text all the same."""
        name = token.text
        if not self._may_hide or name in VOID:
            return
        if self._hidden:
            if name == self._hidden[0]:
                self._hidden.append(name)
        elif self._is_hidden(token):
            self._hidden.append(name)
            self._hidden_from = len(self._parts)

    def _is_hidden(self, token: Token) -> bool:
        if value_of(self._page, token, "hidden") is not None:
            return True
        return _HIDING.search(value_of(self._page, token, "style") or "") is not None

    def _start(self, token: Token) -> None:
        name = token.text
        if name in _LISTS:
            first = _number(value_of(self._page, token, "start"), 1) if name == "ol" else None
            self._lists.append(first)
        if name in _PARAGRAPHS:
            self._parts.append("\n\n")
        elif name in _CELLS:
            self._parts.append(_CELL_END if self._cells else "")
            self._cells += 1
        elif name in _LINES:
            self._parts.append("\n")
            self._cells = 0
        elif name == "li":
            self._start_item(token)
        elif name == "img":
            self._parts.append(value_of(self._page, token, "alt") or "")
        elif name in _LINKING:
            self._start_link(token)

    def _start_item(self, token: Token) -> None:
        """Begin a list item with its number or a dash; its `value` counts, as in HTML."""
        marker = "-"
        if self._lists and self._lists[-1] is not None:
            number = _number(value_of(self._page, token, "value"), self._lists[-1])
            self._lists[-1] = number + 1
            marker = f"{number}."
        self._parts.append(f"\n{marker} ")

    def _start_link(self, token: Token) -> None:
        self._end_link()
        target = (value_of(self._page, token, "href") or "").strip()
        if not self._hidden:
            self._targets.append(target)
        if token.text == "a":
            self._link = (target, len(self._parts))

    def _end(self, name: str) -> None:
        if name == "a":
            self._end_link()
        elif name in _PARAGRAPHS:
            self._parts.append("\n\n")
        if name in _LISTS and self._lists:
            self._lists.pop()
        if self._hidden and name == self._hidden[0]:
            self._hidden.pop()
            if not self._hidden:
                self._hidden_parts.append((self._hidden_from, len(self._parts)))

    def _end_link(self) -> None:
        if self._link is None:
            return
        (target, start), self._link = self._link, None
        shown = " ".join("".join(self._parts[start:]).split())
        if target.lower().startswith(("http://", "https://", "mailto:", "tel:")) and shown not in {
            target,
            target.partition(":")[2],
        }:
            if shown:
                self._parts.append(f" ({target})")
            else:
                self._parts.insert(start, target)


def _number(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,9}", text.strip()) else default
