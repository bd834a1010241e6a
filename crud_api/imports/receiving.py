"""Receives the file of an import, and records the import from the first byte on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from anyio import CancelScope, CapacityLimiter, WouldBlock
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from crud_api.database import Database
from crud_api.errors import UnavailableError
from crud_api.imports import service
from crud_api.imports.body_file import receive_file
from crud_api.imports.form import file_part
from crud_api.imports.layout import Kind

MOST_RECEIVED = 16  # files that one process receives at a time; each takes up to 1 GiB of temporary disk

Result = TypeVar("Result")


async def import_body(
    request: Request,
    store: Database,
    kind: Kind | None,
    run: Callable[[int, BinaryIO], Result],
) -> Result:
    """Receive the body as a file, then call `run` with the import's id and the file, in a thread.

    Without a `kind`, no import is recorded, and the id is 0. Raise ApiError if the file does not arrive, or
    from `run`; the import is then recorded as failed.
    """
    receiving: CapacityLimiter = request.app.state.receiving
    try:
        receiving.acquire_on_behalf_of_nowait(request)
    except WouldBlock:
        raise UnavailableError("Too many files are being received. Try again in a minute.") from None
    with tempfile.TemporaryFile() as file:
        try:
            import_id = await run_in_threadpool(service.begin, store, kind) if kind else 0
            await _receive(file, request, store, import_id)
        finally:
            receiving.release_on_behalf_of(request)
        return await run_in_threadpool(run, import_id, file)


async def _receive(file: BinaryIO, request: Request, store: Database, import_id: int) -> None:
    async def beat(lines: int) -> None:
        if import_id:
            await run_in_threadpool(service.show_received, store, import_id, lines)

    try:
        part = file_part(request.headers.get("content-type"))
        await receive_file(file, request.stream(), beat, part)
        if part is not None:
            part.finish()
    except BaseException as error:
        with CancelScope(shield=True):
            if import_id:
                await run_in_threadpool(service.fail, store, import_id, error)
        raise
