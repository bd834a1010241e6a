"""Defines the routes for links in mails.

The signed token in the URL authenticates a request. The OpenAPI document omits these routes because they are
for recipients of mails, not for API clients.
"""

from __future__ import annotations

import logging
from base64 import b64decode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from crud_api.dependencies import Settings, Store
from crud_api.errors import UnavailableError
from crud_api.heads import is_head
from crud_api.tracking import pages, repository
from sequence_store.mail.fetchers import is_machine
from sequence_store.mail.link_tokens import Link, LinkKind

log = logging.getLogger("crud_api")

PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

router = APIRouter(include_in_schema=False)


@router.get("/t/{token}")
def follow_link(token: str, request: Request, store: Store, settings: Settings) -> Response:
    """Record the event; return the open pixel, or redirect to the target of the link.

    The verdict whether a person or a program fetched it is recorded, the user agent and the address are not.
    Programs send HEAD, people do not.
    """
    link = settings.link_signer.read(token)
    if link is None or link.kind is LinkKind.UNSUBSCRIBE:
        return pages.unknown_link()
    machine = is_head(request.scope) or is_machine(request.headers.get("User-Agent"))
    _record(store, link, machine=machine)
    if link.kind is LinkKind.OPEN:
        return Response(PIXEL, media_type="image/gif")
    return RedirectResponse(link.target, 302, pages.HEADERS)


@router.get("/u/{token}")
def confirm_unsubscribe(token: str, settings: Settings) -> Response:
    """Show a confirmation page. A GET changes nothing, because mail scanners follow every link (RFC 8058)."""
    link = settings.link_signer.read(token)
    if link is None or link.kind is not LinkKind.UNSUBSCRIBE:
        return pages.unknown_link()
    return pages.ask_to_unsubscribe()


@router.post("/u/{token}")
def unsubscribe(token: str, store: Store, settings: Settings) -> Response:
    """Unsubscribe the address immediately. The body, from the page or a mail program, is ignored."""
    link = settings.link_signer.read(token)
    if link is None or link.kind is not LinkKind.UNSUBSCRIBE:
        return pages.unknown_link()
    with store.transaction() as connection:
        repository.unsubscribe(connection, link, settings.address_pads)
    return pages.unsubscribed()


def _record(store: Store, link: Link, *, machine: bool) -> None:
    """Record the event. If the database is unreachable, only log that: the recipient still gets the page."""
    try:
        with store.transaction() as connection:
            repository.record(connection, link, machine=machine)
    except UnavailableError:
        log.warning("The database is unreachable: the event of a tracking link was not recorded")
