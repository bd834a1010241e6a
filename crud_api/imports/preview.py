"""Shows what an import would do: runs it in a transaction that is rolled back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, BinaryIO

from sqlalchemy import Connection

from crud_api.database import Database
from crud_api.imports import repository, service
from crud_api.imports.layout import Kind, Layout, NoAddressesError, lay_out
from crud_api.imports.schemas import (
    ContactFileQuery,
    FileQuery,
    ImportPreview,
    PreviewColumn,
    PreviewRow,
    ReportLine,
)
from crud_api.imports.table import Table, open_table
from crud_api.tables import AnyRow

ROWS = 10
REPORT_LINES = 100
_COUNTS = (
    *("rows_read", "added", "changed", "enrolled", "merged", "refused", "flagged", "not_enrolled"),
    *("opted_out", "missing_names"),
)


Merge = Callable[[Connection, int, Table, Callable[[], object]], None]


def preview_contacts(
    store: Database,
    file: BinaryIO,
    query: ContactFileQuery,
    *,
    enrolment: tuple[int, date] | None,
    pads: bytes,
    quiet_days: int,
) -> ImportPreview:
    """Return what an import of the file would do; raise InvalidInputError if the file cannot be read."""

    def merge(connection: Connection, import_id: int, table: Table, staged: Callable[[], object]) -> None:
        service.merge_contact_file(
            store,
            connection,
            import_id,
            table,
            query,
            enrolment=enrolment,
            pads=pads,
            quiet_days=quiet_days,
            staged=staged,
        )

    def layout(table: Table) -> Layout:
        return service.contact_layout(table, query)

    return _preview(store, file, query, "contacts", layout, merge)


def preview_suppressions(store: Database, file: BinaryIO, query: FileQuery, *, pads: bytes) -> ImportPreview:
    """Do the same with a file of suppressions; the name of a row is the reason of its suppression."""

    def merge(connection: Connection, import_id: int, table: Table, staged: Callable[[], object]) -> None:
        service.merge_suppression_file(store, connection, import_id, table, query, pads=pads, staged=staged)

    def layout(table: Table) -> Layout:
        return lay_out(table.header, "suppressions", columns=query.column, sample=table.sample)

    return _preview(store, file, query, "suppressions", layout, merge)


def _preview(
    store: Database,
    file: BinaryIO,
    query: FileQuery,
    kind: Kind,
    lay_out_table: Callable[[Table], Layout],
    merge: Merge,
) -> ImportPreview:
    rows: Sequence[AnyRow] = ()
    table = open_table(file, query, kind)
    try:
        layout = lay_out_table(table)
    except NoAddressesError as error:
        return _without_addresses(table, error)
    with store.transaction() as connection:
        import_id = repository.begin(connection, kind)
        repository.start(connection, import_id)

        def staged() -> None:
            nonlocal rows
            rows = repository.first_rows(connection, ROWS)

        merge(connection, import_id, table, staged)
        counts = repository.finished(connection, import_id)
        lines = repository.first_lines(connection, import_id, REPORT_LINES)
        connection.rollback()
    return ImportPreview(
        message=None,
        columns=_columns(layout, kind),
        rows=[PreviewRow.of(row) for row in rows],
        report=[ReportLine.of(line) for line in lines],
        **_format_of(table),
        **{name: getattr(counts, name) for name in _COUNTS},
    )


def _format_of(table: Table) -> dict[str, Any]:
    return {
        "encoding": table.encoding,
        "encoding_confidence": table.encoding_confidence,
        "delimiter": table.delimiter,
        "sheet": table.sheet,
        "sheets": list(table.sheets),
        "header_line": table.header_line,
    }


def _columns(layout: Layout, kind: Kind) -> list[PreviewColumn]:
    fields: dict[int, list[str]] = {at: [of_field] for at, of_field in layout.used.items()}
    for name, at in layout.attributes:
        fields[at] = list(dict.fromkeys([*fields.get(at, []), f"attributes.{name}"]))
    shown = []
    seen = Counter[str]()
    for at, title in enumerate(layout.titles):
        seen[title] += 1
        proposed = None
        if at not in fields and title and seen[title] == 1 and kind == "contacts":
            proposed = f"attributes.{title}:{title}"
        shown.append(PreviewColumn(name=title, fields=fields.get(at, []), proposed=proposed))
    return shown


def _without_addresses(table: Table, error: NoAddressesError) -> ImportPreview:
    """Propose the column that may have the mail addresses."""
    columns = [
        PreviewColumn(name=title, fields=[], proposed=f"mailAddress:{title}" if at == error.likely else None)
        for at, title in enumerate(error.titles)
    ]
    return ImportPreview(
        message=str(error.detail),
        columns=columns,
        rows=[],
        report=[],
        **_format_of(table),
        **dict.fromkeys(_COUNTS),
    )
