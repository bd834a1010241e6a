"""Serves the mail sink's web pages and JSON API; escapes everything that comes from a mail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from local_stack.mail_store import Content, Entry, MailStore

SHOWN = 200
STYLE = (Path(__file__).parent / "mail_page.css").read_text(encoding="utf-8")
# No script runs, also not in a mail's HTML. Images load only from this machine, as the open pixel does.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: http://127.0.0.1:* http://localhost:*; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)


def make_app(store: MailStore) -> FastAPI:
    """Return the application of the web pages and the JSON API."""
    app = FastAPI(title="Mail sink", openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/", response_class=HTMLResponse)
    async def show_list(search: str = "") -> str:
        return list_page(store.find(search), search)

    @app.get("/messages/{number}", response_class=HTMLResponse)
    async def show_message(number: int) -> str:
        entry = _entry(number)
        return message_page(entry, store.content(entry))

    @app.get("/messages/{number}/source", response_class=PlainTextResponse)
    async def show_source(number: int) -> bytes:
        return store.source(_entry(number))

    @app.get("/api/messages")
    async def list_messages(
        response: Response, search: str = "", limit: Annotated[int | None, Query(ge=0)] = None
    ) -> list[dict[str, object]]:
        found = store.find(search)
        response.headers["X-Total-Count"] = str(len(found))
        return [asdict(entry) for entry in found[:limit]]

    @app.get("/api/messages/{number}")
    async def get_message(number: int) -> dict[str, object]:
        entry = _entry(number)
        return asdict(entry) | asdict(store.content(entry))

    def _entry(number: int) -> Entry:
        if entry := store.get(number):
            return entry
        raise HTTPException(404, f"Message {number} does not exist.")

    return app


def list_page(found: Sequence[Entry], search: str) -> str:
    rows = "".join(_row(entry) for entry in found[:SHOWN])
    table = f"<table><thead>{_HEAD}</thead><tbody>{rows}</tbody></table>" if rows else _empty(search)
    more = f"<p class=note>Only the newest {SHOWN} messages are shown.</p>" if len(found) > SHOWN else ""
    refresh = "" if search else '<meta http-equiv="refresh" content="5">'
    count = f"{len(found):,} message{'' if len(found) == 1 else 's'}"
    return _page("Mail sink", _header(count, search) + f"<main>{table}{more}</main>", refresh)


def message_page(entry: Entry, content: Content) -> str:
    facts = [
        ("Accepted", entry.accepted_at),
        ("From", entry.mail_from),
        ("To", ", ".join(entry.rcpt_to)),
        ("Size", f"{entry.size:,} bytes"),
    ]
    title = entry.subject or "(no subject)"
    parts = [
        f"<h2>{escape(title)}</h2><dl class=facts>{_definitions(facts)}</dl>",
        _html_part(content.html),
        _part("Text", content.text, is_open=content.html is None),
        f"<details><summary>Headers</summary><dl>{_definitions(content.headers)}</dl></details>",
        _part("Source", content.source),
    ]
    return _page(title, _header("", "") + f"<main class=message>{''.join(parts)}</main>")


_HEAD = "<tr><th>Accepted</th><th>From</th><th>To</th><th>Subject</th></tr>"


def _row(entry: Entry) -> str:
    link = f"/messages/{entry.id}"
    cells = [_moment(entry.accepted_at), entry.mail_from, ", ".join(entry.rcpt_to)]
    return (
        "<tr>"
        + "".join(f'<td title="{escape(cell)}">{escape(cell)}</td>' for cell in cells)
        + f'<td><a href="{link}">{escape(entry.subject or "(no subject)")}</a></td></tr>'
    )


def _moment(accepted_at: str) -> str:
    return accepted_at[:23].replace("T", " ")


def _empty(search: str) -> str:
    text = f"No message matches “{escape(search)}”." if search else "No messages yet. New mails appear here."
    return f"<p class=empty>{text}</p>"


def _header(count: str, search: str) -> str:
    return (
        f'<header><h1><a href="/">Mail sink</a></h1><span class=note>{count}</span>'
        f'<form action="/"><input type=search name=search value="{escape(search)}" '
        'placeholder="Sender, recipient or subject" aria-label=Search></form></header>'
    )


def _definitions(pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)


def _html_part(html: str | None) -> str:
    if html is None:
        return ""
    document = escape('<base target="_blank">' + html)
    sandbox = "allow-popups allow-popups-to-escape-sandbox"
    attributes = f'sandbox="{sandbox}" referrerpolicy="no-referrer" title=Message srcdoc="{document}"'
    return f"<iframe {attributes}></iframe>"


def _part(title: str, body: str | None, *, is_open: bool = False) -> str:
    if body is None:
        return ""
    shown = " open" if is_open else ""
    return f"<details{shown}><summary>{title}</summary><pre>{escape(body)}</pre></details>"


def _page(title: str, body: str, head: str = "") -> str:
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"{head}<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )
