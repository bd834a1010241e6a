"""Defines the routes for file imports and exports, and for the state and report of each import."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, BinaryIO
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from crud_api.dependencies import Settings, Store, Today
from crud_api.downloads import Download
from crud_api.imports import preview, service
from crud_api.imports.receiving import import_body
from crud_api.imports.schemas import (
    ContactExportQuery,
    ContactFileQuery,
    FileQuery,
    Import,
    ImportPreview,
    ImportQuery,
)
from crud_api.openapi import error_responses
from crud_api.responses import to_json_bytes

router = APIRouter()


def _csv_body(example: str) -> dict[str, Any]:
    """Document the body as a file: Swagger UI shows a file picker, and generated clients send bytes."""
    binary = {"type": "string", "format": "binary"}
    file = {"schema": binary, "example": example}
    form = {"schema": {"type": "object", "required": ["file"], "properties": {"file": binary}}}
    content = {"application/octet-stream": file, "multipart/form-data": form}
    return {"requestBody": {"required": True, "content": content}}


_PREVIEW: dict[int | str, dict[str, Any]] = {
    200: {"model": ImportPreview, "description": "With `dryRun`: what would happen"}
}


def _preview_response(shown: ImportPreview) -> Response:
    return Response(to_json_bytes(shown), 200, media_type="application/json")


def _csv_response(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/csv": {"schema": {"type": "string"}}}}


async def _downloads(request: Request) -> asyncio.Semaphore:
    running: asyncio.Semaphore = request.app.state.downloads
    return running


Downloads = Annotated[asyncio.Semaphore, Depends(_downloads)]


@router.post(
    "/contacts/imports",
    status_code=201,
    summary="Import contacts",
    response_model=Import,
    tags=["contacts"],
    responses={**_PREVIEW, **error_responses(409, 413)},
    openapi_extra=_csv_body("name,mailAddress,attributes.company\nGrace Hopper,grace@example.com,Navy\n"),
)
async def import_contacts(
    request: Request,
    query: Annotated[ContactFileQuery, Query()],
    store: Store,
    settings: Settings,
    today: Today,
) -> Import | Response:
    """Send a CSV file or a workbook (XLSX) as the body, with any `Content-Type`, or as the file of a form.

    One of the first lines names the columns. A column of mail addresses is required. Columns are known by the
    names that other tools and other languages give them; first and last name are joined, and of several mail
    addresses the first filled one counts. Encoding and delimiter are detected. `dryRun=true` shows how the
    file is read and what would happen, and changes nothing.

    Rows with the same address are merged; later values replace earlier ones. Existing contacts are updated,
    attribute by attribute, unless `existing=keep`; a name that the file does not have stays. With
    `sequenceId`, the contacts are enrolled, except those that are or were in that sequence.

    Columns that say "does not want mail", by the names that other tools give them, are read: such a contact
    is imported, its address is suppressed, and it is not enrolled. `optOutColumns` names them; a value
    that is no clear yes or no refuses its row. Select another column with `column=optOut:<column name>`, or
    ignore all of them with `optOuts=ignore`. A name that is a placeholder, such as `#N/A`, is no name.

    The import runs in one transaction: if it fails, nothing is imported. An invalid row (bad syntax,
    suppressed address and the like) is skipped; the report of the import lists its line and the reason. The
    list of imports shows the progress of a running import.
    """
    enrolment = await run_in_threadpool(service.enrolment_of, store, query.sequence_id, today)
    pads = settings.address_pads

    quiet_days = settings.reply_quiet_days

    def run(import_id: int, file: BinaryIO) -> Import:
        return service.import_contacts(
            store, import_id, file, query, enrolment=enrolment, pads=pads, quiet_days=quiet_days
        )

    def show(_: int, file: BinaryIO) -> Response:
        shown = preview.preview_contacts(
            store, file, query, enrolment=enrolment, pads=pads, quiet_days=quiet_days
        )
        return _preview_response(shown)

    if query.dry_run:
        return await import_body(request, store, None, show)
    return await import_body(request, store, "contacts", run)


@router.get(
    "/contacts/export",
    summary="Export contacts",
    tags=["contacts"],
    response_class=StreamingResponse,
    responses={200: _csv_response("All contacts, in the format of an import"), **error_responses()},
)
def export_contacts(
    query: Annotated[ContactExportQuery, Query()], store: Store, settings: Settings, downloads: Downloads
) -> Response:
    """Return all contacts as a CSV file that is safe to open in a spreadsheet.

    A cell that a spreadsheet would run as a formula starts with an apostrophe. An import removes it again.
    `suppressed`, `suppressionReason` and `suppressedAt` say whether the address may be mailed; an import of
    the file suppresses it again.
    """
    blocks = service.export_contacts(store, query, settings.address_pads)
    return Download("contacts.csv", blocks, downloads)


@router.post(
    "/suppressions/imports",
    status_code=201,
    summary="Import suppressions",
    response_model=Import,
    tags=["suppressions"],
    responses={**_PREVIEW, **error_responses(409, 413)},
    openapi_extra=_csv_body("mailAddress,reason\ngrace@example.com,complaint\n"),
)
async def import_suppressions(
    request: Request, query: Annotated[FileQuery, Query()], store: Store, settings: Settings
) -> Import | Response:
    """Send a file with a column of mail addresses and, optionally, the column `reason`.

    Format, errors and `dryRun` are those of the import of contacts.
    """
    pads = settings.address_pads

    def run(import_id: int, file: BinaryIO) -> Import:
        return service.import_suppressions(store, import_id, file, query, pads=pads)

    def show(_: int, file: BinaryIO) -> Response:
        return _preview_response(preview.preview_suppressions(store, file, query, pads=pads))

    if query.dry_run:
        return await import_body(request, store, None, show)
    return await import_body(request, store, "suppressions", run)


@router.get(
    "/imports",
    summary="List imports",
    response_model=list[Import],
    tags=["imports"],
    responses=error_responses(),
)
def list_imports(query: Annotated[ImportQuery, Query()], store: Store) -> Response:
    """List imports in order of their start, including running ones. Imports are deleted after 90 days."""
    with store.reading() as connection:
        return service.read(connection, query).response()


@router.get("/imports/{import_id}", summary="Get an import", tags=["imports"], responses=error_responses(404))
def get_import(import_id: UUID, store: Store) -> Import:
    """Return the progress or the result of an import."""
    with store.reading() as connection:
        return service.find(connection, import_id)


@router.get(
    "/imports/{import_id}/report",
    summary="Get an import's report",
    tags=["imports"],
    response_class=StreamingResponse,
    responses={200: _csv_response("line, outcome, reason"), **error_responses(404)},
)
def get_import_report(import_id: UUID, store: Store, downloads: Downloads) -> Response:
    """Return a CSV file with a line for each row that was refused, flagged, merged or not enrolled.

    Each line contains the line number in the imported file, the outcome and the reason.
    """
    return Download("report.csv", service.report(store, import_id), downloads)
