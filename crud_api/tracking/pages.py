"""Renders the pages for recipients. They are static: a mail or a link cannot insert text into them."""

from __future__ import annotations

from fastapi.responses import HTMLResponse

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:28rem;margin:4rem auto;padding:0 1rem;color:#222}"
    "button{font:inherit;padding:.5rem 1.25rem}"
)


def ask_to_unsubscribe() -> HTMLResponse:
    # Without an action, the form posts to its own URL, so the page contains no URL and no token.
    button = '<form method="post"><button type="submit">Unsubscribe</button></form>'
    return _page("Unsubscribe", f"<p>You will get no more mails from us.</p>{button}")


def unsubscribed() -> HTMLResponse:
    return _page("You are unsubscribed", "<p>You will get no more mails from us.</p>")


def unknown_link() -> HTMLResponse:
    return _page(
        "This link does not work",
        "<p>The link may be incomplete. Try the link in the mail again, or reply to the mail.</p>",
        status=404,
    )


def _page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>\n"
    )
    return HTMLResponse(page, status, HEADERS)
