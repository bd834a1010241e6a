"""What may be done with files: import, look how far it is, read the report, export."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import Connection

from crud_api.database import Database
from crud_api.errors import ApiError, ConflictError, InvalidInputError, NotFoundError
from crud_api.imports import repository
from crud_api.imports.csv_file import CsvFile, Row, lay_out
from crud_api.imports.rows import ContactRows, SuppressionRows
from crud_api.imports.schemas import ContactExportQuery, ContactFileQuery, FileQuery, Import, ImportQuery
from crud_api.paging import Page
from crud_api.sequences import repository as sequences
from crud_api.steps import repository as steps
from crud_api.tables import AnyRow

CONTACT_COLUMNS = {
    "mailAddress": ("mailAddress", "email", "emailAddress", "eMail"),
    "name": ("name", "fullName", "contactName"),
    "isActive": ("isActive", "active"),
    "attributes": ("attributes",),
}
SUPPRESSION_COLUMNS = {"mailAddress": CONTACT_COLUMNS["mailAddress"], "reason": ("reason",)}

PROGRESS_ROWS = 50_000
GONE = "It was interrupted, and nothing of it was kept. Send the file again."
CAME_BETWEEN = "Another request entered what the file has, too, and nothing of it was kept. Send it again."
MARK = b"\xef\xbb\xbf"  # without it some spreadsheets take UTF-8 for something else


def import_contacts(
    store: Database, file: io.BufferedReader, query: ContactFileQuery, *, today: date, pads: bytes
) -> Import:
    """Import a file of contacts, all of it or nothing; rows that are refused are in its report."""
    place = _place(store, query.sequence_id, today)
    with _noted(store, "contacts") as import_id, store.transaction() as connection:
        repository.start(connection, import_id)
        source = CsvFile(file, encoding=query.encoding, delimiter=query.delimiter)
        layout = lay_out(
            source.header,
            CONTACT_COLUMNS,
            required=("mailAddress", "name"),
            columns=query.column,
            others_are_attributes=query.other_columns == "attributes",
        )
        write = ContactRows(layout, refuse_roles=query.role_addresses == "refuse")
        rows = _staged(store, connection, import_id, source, write)
        repository.settle_rows(connection, import_id)
        repository.refuse_suppressed(connection, import_id, pads)
        change = query.existing == "update"
        if place is None:
            counts = repository.merge_contacts(connection, pads, change=change)
        else:
            counts = repository.merge_and_enrol(connection, import_id, pads, *place, change=change)
        repository.finish(connection, import_id, rows, counts, layout.ignored)
    return _of(store, import_id)


def import_suppressions(store: Database, file: io.BufferedReader, query: FileQuery, *, pads: bytes) -> Import:
    """Import a file of addresses that must not be mailed, and stop everything for them."""
    with _noted(store, "suppressions") as import_id, store.transaction() as connection:
        repository.start(connection, import_id)
        source = CsvFile(file, encoding=query.encoding, delimiter=query.delimiter)
        layout = lay_out(source.header, SUPPRESSION_COLUMNS, required=("mailAddress",), columns=query.column)
        rows = _staged(store, connection, import_id, source, SuppressionRows(layout))
        repository.settle_rows(connection, import_id)
        counts = repository.merge_suppressions(connection, pads)
        repository.finish(connection, import_id, rows, counts, layout.ignored)
    return _of(store, import_id)


def read(connection: Connection, query: ImportQuery) -> Page[Import]:
    page = repository.read(connection, query)
    return page.with_items(_shown(connection, page.items))


def find(connection: Connection, wanted: UUID) -> Import:
    [shown] = _shown(connection, [_found(connection, wanted)])
    return shown


def report(store: Database, wanted: UUID) -> Iterator[bytes]:
    """Return the report as CSV: the line in the file, what became of it, and why."""
    with store.transaction() as connection:
        yield from repository.export_report(connection, _found(connection, wanted).row_key)


def export_contacts(store: Database, query: ContactExportQuery) -> Iterator[bytes]:
    """Return the contacts as CSV, as an import takes them."""
    with store.transaction() as connection:
        blocks = repository.export_contacts(connection, query)
        yield MARK + next(blocks)
        yield from blocks


@contextmanager
def _noted(store: Database, kind: str) -> Iterator[int]:
    """Note the import where everybody sees it; where it fails, its transaction has kept nothing."""
    with store.reading() as connection:
        import_id = repository.begin(connection, kind)
    try:
        yield import_id
    except ConflictError as error:
        _fail(store, import_id, CAME_BETWEEN)
        raise ConflictError(CAME_BETWEEN) from error
    except BaseException as error:
        _fail(store, import_id, str(error.detail) if isinstance(error, ApiError) else GONE)
        raise


def _fail(store: Database, import_id: int, message: str) -> None:
    """Note the failure, unless the database is away, too: then the list says that the import is gone."""
    with suppress(ApiError), store.reading() as connection:
        repository.fail(connection, import_id, message)


def _staged(
    store: Database, connection: Connection, import_id: int, source: CsvFile, write: Callable[[Row], str]
) -> int:
    """Copy the file's rows beside the tables; return how many there are."""
    rows = 0

    def lines() -> Iterator[str]:
        nonlocal rows
        for row in source.rows():
            yield write(row)
            rows += 1
            if rows % PROGRESS_ROWS == 0:
                _show_progress(store, import_id, "reading", rows)

    repository.stage(connection, lines())
    _show_progress(store, import_id, "merging", rows)
    return rows


def _show_progress(store: Database, import_id: int, state: str, rows: int) -> None:
    """Let others see how far it is; where all connections are in use, the next time."""
    with suppress(ApiError), store.reading() as connection:
        repository.show_progress(connection, import_id, state, rows)


def _place(store: Database, sequence: UUID | None, today: date) -> tuple[int, date] | None:
    """Return where contacts are enrolled, and when their first step is due."""
    if sequence is None:
        return None
    with store.reading() as connection:
        sequence_id = sequences.find_id(connection, sequence)
        if sequence_id is None:
            raise InvalidInputError("sequenceId: no sequence has this id")
        first_step = steps.first(connection, sequence_id)
    if first_step is None:
        raise ConflictError("The sequence has no steps: add one before enrolling contacts.")
    return sequence_id, today + timedelta(days=first_step.delay_days)


def _of(store: Database, import_id: int) -> Import:
    with store.reading() as connection:
        return Import.of(repository.finished(connection, import_id))


def _found(connection: Connection, wanted: UUID) -> AnyRow:
    row = repository.find(connection, wanted)
    if row is None:
        raise NotFoundError(f"No import has the id {wanted}.")
    return row


def _shown(connection: Connection, rows: list[AnyRow]) -> list[Import]:
    open_ones = [row.row_key for row in rows if row.finished_at is None]
    gone = repository.find_gone(connection, open_ones) if open_ones else set()
    ended = {"state": "failed", "message": GONE}
    return [
        Import.model_validate(
            row._asdict() | (ended if row.row_key in gone else {}), by_alias=False, by_name=True
        )
        for row in rows
    ]
