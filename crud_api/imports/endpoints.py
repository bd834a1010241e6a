"""Routes of files: contacts in and out, suppressions in, and what became of each import."""

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
from crud_api.openapi import answers

router = APIRouter()


def _csv_body(example: str) -> dict[str, Any]:
    """Document a body as a file: programs offer to choose one, and generated clients send its bytes."""
    file = {"schema": {"type": "string", "format": "binary"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/octet-stream": file}}}


def _csv_answer(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/csv": {"schema": {"type": "string"}}}}


def _download(name: str, blocks: Iterator[bytes]) -> StreamingResponse:
    """Answer with a file; what goes wrong before its first block is an answer of its own."""
    first = next(blocks)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chain([first], blocks), media_type="text/csv; charset=utf-8", headers=headers)


@router.post(
    "/contacts/imports",
    status_code=201,
    summary="Import contacts",
    tags=["contacts"],
    responses=answers(409, 413),
    openapi_extra=_csv_body("name,mailAddress,attributes.company\nGrace Hopper,grace@example.com,Navy\n"),
)
async def import_contacts(
    request: Request,
    query: Annotated[ContactFileQuery, Query()],
    store: Store,
    settings: Settings,
    today: Today,
) -> Import:
    """Send a CSV file as the body, whatever its `Content-Type`; its first line names the columns.

    `name` and `mailAddress` are needed; `isActive`, `attributes` (a JSON object) and `attributes.<name>` are taken,
    too. Rows of one address are merged, the later one's word last; contacts that exist are changed by what the file
    says, attribute by attribute, unless `existing=keep`. With `sequenceId` they are enrolled; whoever has ever been
    in that sequence is not enrolled again.

    All of the file goes in, or nothing. A row that is refused (bad syntax, suppressed address, …) keeps none of the
    others out: the import's report has its line and the reason. While it runs, the list of imports shows how far it
    is.
    """
    file = body_file(request.stream())
    return await run_in_threadpool(
        service.import_contacts, store, file, query, today=today, pads=settings.address_pads
    )


@router.get(
    "/contacts/export",
    summary="Export contacts",
    tags=["contacts"],
    response_class=StreamingResponse,
    responses={200: _csv_answer("All contacts, as an import takes them"), **answers()},
)
def export_contacts(query: Annotated[ContactExportQuery, Query()], store: Store) -> Response:
    """Get all contacts as a CSV file that a spreadsheet can open: no cell of it is a formula.

    Where one would be, an apostrophe stands before it; an import takes it off again.
    """
    return _download("contacts.csv", service.export_contacts(store, query))


@router.post(
    "/suppressions/imports",
    status_code=201,
    summary="Import suppressions",
    tags=["suppressions"],
    responses=answers(409, 413),
    openapi_extra=_csv_body("mailAddress,reason\ngrace@example.com,complaint\n"),
)
async def import_suppressions(
    request: Request, query: Annotated[FileQuery, Query()], store: Store, settings: Settings
) -> Import:
    """Send a CSV file with a column `mailAddress`, and `reason` if there is one; see the import of contacts."""
    file = body_file(request.stream())
    return await run_in_threadpool(
        service.import_suppressions, store, file, query, pads=settings.address_pads
    )


@router.get(
    "/imports", summary="List imports", response_model=list[Import], tags=["imports"], responses=answers()
)
def list_imports(query: Annotated[ImportQuery, Query()], store: Store) -> Response:
    """In the order in which they began, also those that are running. They are kept for 90 days."""
    with store.reading() as connection:
        return service.read(connection, query).shown()


@router.get("/imports/{import_id}", summary="Get an import", tags=["imports"], responses=answers(404))
def get_import(import_id: UUID, store: Store) -> Import:
    """See how far it is, or what became of it."""
    with store.reading() as connection:
        return service.find(connection, import_id)


@router.get(
    "/imports/{import_id}/report",
    summary="Get an import's report",
    tags=["imports"],
    response_class=StreamingResponse,
    responses={200: _csv_answer("line, outcome, reason"), **answers(404)},
)
def get_import_report(import_id: UUID, store: Store) -> Response:
    """Get a CSV file with a line for each row that was refused, flagged, merged or not enrolled, and why."""
    return _download("report.csv", service.report(store, import_id))
