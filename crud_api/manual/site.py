"""Application of the pages, which the API mounts: a page needs no key and reads no database."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from crud_api.errors import NotFoundError
from crud_api.manual.pages import START, render

PATH = "/docs/pages"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "max-age=300",
}


def manual() -> Starlette:
    """Return the application."""
    return Starlette(
        routes=[Route("/", _start), Route("/{name:path}", _page)],
        exception_handlers={HTTPException: _refusal},
    )


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (the only class that is registered)
    return JSONResponse({"message": str(error.detail)}, error.status_code, error.headers)


async def _start(_request: Request) -> Response:
    return RedirectResponse(f"{PATH}/{START}")


async def _page(request: Request) -> Response:
    name = str(request.path_params["name"]).removesuffix(".md")
    document = render(name)
    if document is None:
        raise NotFoundError(f"no page has this name; {PATH}/{START} lists the pages")
    return HTMLResponse(document, headers=HEADERS)
