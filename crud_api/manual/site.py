"""Middleware that serves the pages under PATH: a page needs no key, reads no database and is no operation."""

from __future__ import annotations

from starlette.datastructures import URL
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from crud_api.manual.pages import START, render

PATH = "/docs/pages"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "max-age=300",
}


class Manual:
    """Answers the requests under PATH, and passes on all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"] == PATH or scope["path"].startswith(f"{PATH}/")):
            name = scope["path"].removeprefix(PATH).strip("/").removesuffix(".md")
            await _answer(scope["method"], name, URL(scope=scope))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _answer(method: str, name: str, url: URL) -> Response:
    if method != "GET":  # HeadAsGet turns HEAD into GET
        return JSONResponse({"message": "Method Not Allowed"}, 405, {"Allow": "GET, HEAD"})
    if not name:
        return RedirectResponse(url.replace(path=f"{PATH}/{START}"))
    document = render(name)
    if document is None:
        message = f"no page has this name; {PATH}/{START} lists the pages"
        return JSONResponse({"message": message}, 404)
    return HTMLResponse(document, headers=HEADERS)
