"""Renders the pages of docs/ as HTML, with the anchors and links that GitHub gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path, PurePosixPath
from posixpath import normpath
from types import MappingProxyType

from markdown_it import MarkdownIt
from markdown_it.token import Token

PACKAGE = Path(__file__).parent
# An installed package holds the pages (pyproject.toml); in a clone they are beside the packages.
FOLDERS = (PACKAGE / "docs", PACKAGE.parents[1] / "docs")
START = "index"
_STYLE = (
    "body{font:1rem/1.55 system-ui,sans-serif;max-width:52rem;margin:0 auto;padding:1rem;color:#222}"
    "pre{overflow-x:auto;background:#f4f4f4;padding:.7rem}code{background:#f4f4f4}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "th,td{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    ":target{background:#fff3bf}"
)
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|//")


@cache
def page_names() -> Mapping[str, Path]:
    """Return the file of each page by its name, such as `runbook` or `how-to/index`."""
    folder = next((one for one in FOLDERS if one.is_dir()), None)
    found = sorted(folder.rglob("*.md")) if folder else []
    return MappingProxyType({str(one.relative_to(folder).with_suffix("")): one for one in found if folder})


@cache
def render(name: str) -> str | None:
    """Return the page as an HTML document, or None if there is none of this name."""
    file = page_names().get(name)
    if file is None:
        return None
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(file.read_text(encoding="utf-8"))
    title = _prepare(name, tokens)
    body = parser.renderer.render(tokens, parser.options, {})
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _prepare(name: str, tokens: list[Token]) -> str:
    """Give each heading its anchor and each link its target; return the title."""
    title, seen = name, dict[str, int]()
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            text = "".join(part.content for part in inline.children or ())
            title = text if token.tag == "h1" else title
            token.attrSet("id", _anchor(text, seen))
    for token in tokens:
        token.children = list(_linked(name, token.children)) if token.children else token.children
    return title


def _anchor(heading: str, seen: dict[str, int]) -> str:
    anchor = _NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-")
    seen[anchor] = seen.get(anchor, -1) + 1
    return f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor


def _linked(name: str, parts: list[Token]) -> Iterator[Token]:
    """Yield the parts of a line; a link to a file that is no page becomes text, a picture its description."""
    dropped = False
    for part in parts:
        if part.type == "image":
            yield Token("text", "", 0, content=f"[{part.content}]")
        elif part.type == "link_open":
            target = _target(name, str(part.attrGet("href")))
            dropped = target is None
            if target is not None:
                part.attrSet("href", target)
                yield part
        elif part.type == "link_close" and dropped:
            dropped = False
        else:
            yield part


def _target(name: str, link: str) -> str | None:
    if _OUTSIDE.match(link) or link.startswith("#"):
        return link
    path, _, anchor = link.partition("#")
    wanted = normpath(PurePosixPath(name).parent / path).removesuffix(".md")
    if wanted not in page_names():
        return None
    upwards = "../" * name.count("/")
    return f"{upwards}{wanted}{'#' if anchor else ''}{anchor}"
