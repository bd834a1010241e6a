"""Defines the routes for file imports and exports, and for the state and report of each import."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from crud_api.dependencies import Settings, Store, Today
from crud_api.imports import service
from crud_api.imports.body_file import body_file
from crud_api.imports.schemas import ContactExportQuery, ContactFileQuery, FileQuery, Import, ImportQuery
from crud_api.openapi import error_responses

router = APIRouter()


def _csv_body(example: str) -> dict[str, Any]:
    """Document the body as a file: Swagger UI shows a file picker, and generated clients send bytes."""
    file = {"schema": {"type": "string", "format": "binary"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/octet-stream": file}}}


def _csv_response(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/csv": {"schema": {"type": "string"}}}}


def _download(name: str, blocks: Iterator[bytes]) -> StreamingResponse:
    """Return a file. An error before its first block still becomes a normal error response."""
    first = next(blocks)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chain([first], blocks), media_type="text/csv; charset=utf-8", headers=headers)


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

    The import runs in one transaction: if it fails, nothing is imported. An invalid row (bad syntax,
    suppressed address and the like) is skipped; the report of the import lists its line and the reason. The
    list of imports shows the progress of a running import.
    """
    file = body_file(request.stream())
    return await run_in_threadpool(
        service.import_contacts,
        store,
        file,
        query,
        today=today,
        pads=settings.address_pads,
        quiet_days=settings.reply_quiet_days,
    )


@router.get(
    "/contacts/export",
    summary="Export contacts",
    tags=["contacts"],
    response_class=StreamingResponse,
    responses={200: _csv_response("All contacts, in the format of an import"), **error_responses()},
)
def export_contacts(query: Annotated[ContactExportQuery, Query()], store: Store) -> Response:
    """Return all contacts as a CSV file that is safe to open in a spreadsheet.

    A cell that a spreadsheet would run as a formula starts with an apostrophe. An import removes it again.
    """
    return _download("contacts.csv", service.export_contacts(store, query))


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
    file = body_file(request.stream())
    return await run_in_threadpool(
        service.import_suppressions, store, file, query, pads=settings.address_pads
    )


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
def get_import_report(import_id: UUID, store: Store) -> Response:
    """Return a CSV file with a line for each row that was refused, flagged, merged or not enrolled.

    Each line contains the line number in the imported file, the outcome and the reason.
    """
    return _download("report.csv", service.report(store, import_id))
