"""Defines the routes for file imports and exports, and for the state and report of each import."""

from __future__ import annotations

import asyncio
from io import BufferedReader
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from crud_api.dependencies import Settings, Store, Today
from crud_api.downloads import Download
from crud_api.imports import service
from crud_api.imports.receiving import import_body
from crud_api.imports.schemas import ContactExportQuery, ContactFileQuery, FileQuery, Import, ImportQuery
from crud_api.openapi import error_responses

router = APIRouter()


def _csv_body(example: str) -> dict[str, Any]:
    """Document the body as a file: Swagger UI shows a file picker, and generated clients send bytes."""
    file = {"schema": {"type": "string", "format": "binary"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/octet-stream": file}}}


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
    tags=["contacts"],
    responses=error_responses(409, 413),
    openapi_extra=_csv_body("name,mailAddress,attributes.company\nGrace Hopper,grace@example.com,Navy\n"),
)
async def import_contacts(
    request: Request,
    query: Annotated[ContactFileQuery, Query()],
    store: Store,
    settings: Settings,
    today: Today,
) -> Import:
    """Send a CSV file as the body, with any `Content-Type`. Its first line contains the column names.

    The columns `name` and `mailAddress` are required; `isActive`, `attributes` (a JSON object) and
    `attributes.<name>` are optional. Rows with the same address are merged; later values replace earlier
    ones. Existing contacts are updated, attribute by attribute, unless `existing=keep`. With `sequenceId`,
    the contacts are enrolled, except those that are or were in that sequence.

    Columns that say "does not want mail", by the names that other tools give them, are read: such a contact
    is imported, its address is suppressed, and it is not enrolled. `optOutColumns` names them; a value
    that is no clear yes or no refuses its row. Select another column with `column=optOut:<column name>`, or
    ignore all of them with `optOuts=ignore`. A name that is a placeholder, such as `#N/A`, is no name.

    The import runs in one transaction: if it fails, nothing is imported. An invalid row (bad syntax,
    suppressed address and the like) is skipped; the report of the import lists its line and the reason. The
    list of imports shows the progress of a running import.
    """
    enrolment = await run_in_threadpool(service.enrolment_of, store, query.sequence_id, today)

    def run(import_id: int, file: BufferedReader) -> Import:
        return service.import_contacts(
            store,
            import_id,
            file,
            query,
            enrolment=enrolment,
            pads=settings.address_pads,
            quiet_days=settings.reply_quiet_days,
        )

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
    tags=["suppressions"],
    responses=error_responses(409, 413),
    openapi_extra=_csv_body("mailAddress,reason\ngrace@example.com,complaint\n"),
)
async def import_suppressions(
    request: Request, query: Annotated[FileQuery, Query()], store: Store, settings: Settings
) -> Import:
    """Send a CSV file with the column `mailAddress` and, optionally, `reason`.

    Format and errors are those of the import of contacts.
    """

    def run(import_id: int, file: BufferedReader) -> Import:
        return service.import_suppressions(store, import_id, file, query, pads=settings.address_pads)

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
