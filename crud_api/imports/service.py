"""Imports files of contacts and suppressions, reports the progress and results, and exports contacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from io import BufferedReader
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection

from crud_api.database import CopyOut, Database
from crud_api.enrolments.service import first_due_day
from crud_api.errors import ApiError, ConflictError, InvalidInputError, NotFoundError
from crud_api.imports import repository
from crud_api.imports.columns import contact_columns, suppression_columns
from crud_api.imports.csv_file import CsvFile, Row, lay_out
from crud_api.imports.repository import Merge
from crud_api.imports.rows import ContactRows, SuppressionRows
from crud_api.imports.schemas import ContactExportQuery, ContactFileQuery, FileQuery, Import, ImportQuery
from crud_api.paging import Page
from crud_api.sequences import repository as sequences
from crud_api.tables import AnyRow
from sequence_store.domain.states import ImportState

PROGRESS_ROWS = 50_000
INTERRUPTED = "The import was interrupted. Nothing was imported. Send the file again."
CONFLICT = "Another request added a record of the file in the meantime. Nothing was imported. Send it again."
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # without it, some spreadsheets do not recognise UTF-8


def begin(store: Database, kind: Literal["contacts", "suppressions"]) -> int:
    """Record an import, so that it is visible while its file arrives and after it fails; return its id."""
    with store.reading() as connection:
        return repository.begin(connection, kind)


def show_received(store: Database, import_id: int, lines: int) -> None:
    """Record that the file of the import still arrives, and how many lines have; skip it if that fails."""
    _show_progress(store, import_id, ImportState.READING, lines)


def fail(store: Database, import_id: int, error: BaseException) -> None:
    """Record why the import failed.

    If the database is unreachable, the list shows the import as interrupted later.
    """
    message = str(error.detail) if isinstance(error, ApiError) else INTERRUPTED
    with suppress(ApiError), store.reading() as connection:
        repository.fail(connection, import_id, message)


def import_contacts(
    store: Database,
    import_id: int,
    file: BufferedReader,
    query: ContactFileQuery,
    *,
    enrolment: tuple[int, date] | None,
    pads: bytes,
    quiet_days: int,
) -> Import:
    """Import a file of contacts in one transaction; list refused rows in the report.

    Raise ApiError if the file is invalid; then nothing is imported.
    """
    with _recorded(store, import_id), store.transaction() as connection:
        repository.start(connection, import_id)
        source = CsvFile(file, encoding=query.encoding, delimiter=query.delimiter)
        opt_outs = query.opt_outs == "suppress"
        layout = lay_out(
            source.header,
            contact_columns(opt_outs=opt_outs),
            required=("mailAddress", "name"),
            columns=query.column,
            others_are_attributes=query.other_columns == "attributes",
            read_opt_outs=opt_outs,
        )
        write = ContactRows(layout, refuse_roles=query.role_addresses == "refuse")
        rows = _stage(store, connection, import_id, source, write)
        repository.settle_rows(connection, import_id)
        repository.refuse_suppressed(connection, import_id, pads)
        if write.opted_out:
            repository.suppress_opted_out(connection, pads)
        merge = Merge(
            import_id,
            pads,
            change=query.existing == "update",
            opt_outs=write.opted_out > 0,
            quiet_days=quiet_days,
        )
        if enrolment is None:
            counts = repository.merge_contacts(connection, merge)
        else:
            counts = repository.merge_and_enrol(connection, merge, *enrolment)
        counts |= {"opted_out": write.opted_out, "missing_names": write.missing_names}
        repository.finish(connection, import_id, rows, counts, layout)
    return _of(store, import_id)


def import_suppressions(
    store: Database, import_id: int, file: BufferedReader, query: FileQuery, *, pads: bytes
) -> Import:
    """Import a file of suppressed addresses; end their enrolments and cancel their sends."""
    with _recorded(store, import_id), store.transaction() as connection:
        repository.start(connection, import_id)
        source = CsvFile(file, encoding=query.encoding, delimiter=query.delimiter)
        layout = lay_out(
            source.header, suppression_columns(), required=("mailAddress",), columns=query.column
        )
        rows = _stage(store, connection, import_id, source, SuppressionRows(layout))
        repository.settle_rows(connection, import_id)
        counts = repository.merge_suppressions(connection, pads)
        repository.finish(connection, import_id, rows, counts, layout)
    return _of(store, import_id)


def read(connection: Connection, query: ImportQuery) -> Page[Import]:
    page = repository.read(connection, query)
    return page.with_items(_shown(connection, page.items))


def find(connection: Connection, import_id: UUID) -> Import:
    [shown] = _shown(connection, [_found(connection, import_id)])
    return shown


def report(store: Database, import_id: UUID) -> CopyOut:
    """Return the report as CSV: line number in the file, outcome and reason. Raise NotFoundError if none."""
    with store.reading() as connection:
        row_key = _found(connection, import_id).row_key
    return repository.export_report(store, row_key)


def export_contacts(store: Database, query: ContactExportQuery, pads: bytes) -> CopyOut:
    """Return the contacts as CSV, in the format of an import."""
    return repository.export_contacts(store, query, pads, prefix=BYTE_ORDER_MARK)


@contextmanager
def _recorded(store: Database, import_id: int) -> Iterator[None]:
    """Record the error of the block, if it raises one, as the reason why the import failed."""
    try:
        yield
    except ConflictError as error:
        conflict = ConflictError(CONFLICT)
        fail(store, import_id, conflict)
        raise conflict from error
    except BaseException as error:
        fail(store, import_id, error)
        raise


def _stage(
    store: Database, connection: Connection, import_id: int, source: CsvFile, write: Callable[[Row], str]
) -> int:
    """Copy the rows of the file to the temporary table; return their number."""
    rows = 0

    def lines() -> Iterator[str]:
        nonlocal rows
        for row in source.rows():
            yield write(row)
            rows += 1
            if rows % PROGRESS_ROWS == 0:
                _show_progress(store, import_id, ImportState.READING, rows)

    repository.stage(connection, lines())
    _show_progress(store, import_id, ImportState.MERGING, rows)
    return rows


def _show_progress(store: Database, import_id: int, state: ImportState, rows: int) -> None:
    """Record the progress; skip it if no connection is free."""
    with suppress(ApiError), store.reading() as connection:
        repository.show_progress(connection, import_id, state, rows)


def enrolment_of(store: Database, sequence: UUID | None, today: date) -> tuple[int, date] | None:
    """Return the internal id of the sequence to enrol in, and the day on which its first step is due."""
    if sequence is None:
        return None
    with store.reading() as connection:
        sequence_id = sequences.find_id(connection, sequence)
        if sequence_id is None:
            raise InvalidInputError("sequenceId: no sequence has this id")
        return sequence_id, first_due_day(connection, sequence_id, today)


def _of(store: Database, import_id: int) -> Import:
    with store.reading() as connection:
        return Import.of(repository.finished(connection, import_id))


def _found(connection: Connection, import_id: UUID) -> AnyRow:
    row = repository.find(connection, import_id)
    if row is None:
        raise NotFoundError(f"No import has the id {import_id}.")
    return row


def _shown(connection: Connection, rows: list[AnyRow]) -> list[Import]:
    unfinished = [row.row_key for row in rows if row.finished_at is None]
    interrupted = repository.find_interrupted(connection, unfinished) if unfinished else set()
    failed = {"state": ImportState.FAILED.value, "message": INTERRUPTED}
    return [Import.of(row, **(failed if row.row_key in interrupted else {})) for row in rows]
