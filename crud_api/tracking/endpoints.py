"""Routes that mails link to. Their tokens are the only key; they are for people, so no document lists them."""

from __future__ import annotations

import logging
from base64 import b64decode

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from crud_api.dependencies import Settings, Store
from crud_api.errors import UnavailableError
from crud_api.tracking import pages, repository
from sequence_store.mail.link_tokens import Link, LinkKind

log = logging.getLogger("crud_api")

PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

router = APIRouter(include_in_schema=False)


@router.get("/t/{token}")
def follow_link(token: str, store: Store, settings: Settings) -> Response:
    """Answer the open pixel with a pixel, and a link with the target that stood in the mail."""
    link = settings.link_signer.read(token)
    if link is None or link.kind is LinkKind.UNSUBSCRIBE:
        return pages.unknown_link()
    _record(store, link)
    if link.kind is LinkKind.OPEN:
        return Response(PIXEL, media_type="image/gif")
    return RedirectResponse(link.target, 302, pages.HEADERS)


@router.get("/u/{token}")
def show_unsubscribing(token: str, settings: Settings) -> Response:
    """Ask, and change nothing: mail programs and scanners follow every link (RFC 8058)."""
    link = settings.link_signer.read(token)
    if link is None or link.kind is not LinkKind.UNSUBSCRIBE:
        return pages.unknown_link()
    return pages.ask_to_unsubscribe()


@router.post("/u/{token}")
def unsubscribe(token: str, store: Store, settings: Settings) -> Response:
    """Stop everything for the address at once. The body is the page's or a mail program's; none is needed."""
    link = settings.link_signer.read(token)
    if link is None or link.kind is not LinkKind.UNSUBSCRIBE:
        return pages.unknown_link()
    with store.transaction() as connection:
        repository.unsubscribe(connection, link, settings.address_pads)
    return pages.unsubscribed()


def _record(store: Store, link: Link) -> None:
    """Note the event; a reader is not kept from a page because our database is away."""
    try:
        with store.transaction() as connection:
            repository.record(connection, link)
    except UnavailableError:
        log.warning("a link was followed while the database was away; its event is lost")
