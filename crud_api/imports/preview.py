"""Shows what an import would do: runs it in a transaction that is rolled back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain, islice
from typing import Any, BinaryIO

from sqlalchemy import Connection

from crud_api.database import Database
from crud_api.errors import InvalidInputError
from crud_api.imports import repository, service
from crud_api.imports.csv_file import Row
from crud_api.imports.layout import Kind, Layout, lay_out, shown_title
from crud_api.imports.mail_cells import is_address, read_mail_cell
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
SAMPLE_ROWS = 50  # by which a column of mail addresses is found if its name is not known
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
) -> ImportPreview:
    """Return what an import of the file would do; raise InvalidInputError if the file cannot be read."""

    def merge(connection: Connection, import_id: int, table: Table, staged: Callable[[], object]) -> None:
        service.merge_contact_file(
            store, connection, import_id, table, query, enrolment=enrolment, pads=pads, staged=staged
        )

    def layout(table: Table) -> Layout:
        return service.contact_layout(table, query)

    return _preview(store, file, query, "contacts", layout, merge)


def preview_suppressions(store: Database, file: BinaryIO, query: FileQuery, *, pads: bytes) -> ImportPreview:
    """Do the same with a file of suppressions; the name of a row is the reason of its suppression."""

    def merge(connection: Connection, import_id: int, table: Table, staged: Callable[[], object]) -> None:
        service.merge_suppression_file(store, connection, import_id, table, query, pads=pads, staged=staged)

    def layout(table: Table) -> Layout:
        return lay_out(table.header, "suppressions", columns=query.column)

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
    sample = list(islice(table.rows, SAMPLE_ROWS))
    table = replace(table, rows=chain(sample, table.rows))
    try:
        layout = lay_out_table(table)
    except InvalidInputError as error:
        if not str(error.detail).startswith("body: no column matches"):
            raise
        return _without_addresses(table, sample, str(error.detail))
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


def _without_addresses(table: Table, sample: Sequence[Row], message: str) -> ImportPreview:
    """Propose the column whose cells are mostly mail addresses, of a file that names none as such."""
    titles = [shown_title(name) for name in table.header]
    filled, addresses = Counter[int](), Counter[int]()
    for row in sample:
        for at, cell in enumerate(row.cells[: len(titles)]):
            if cell.strip():
                filled[at] += 1
                addresses[at] += is_address(read_mail_cell(cell).address)
    likely = [at for at in addresses if addresses[at] * 2 > filled[at]]
    best = max(likely, key=lambda at: addresses[at], default=None)
    columns = [
        PreviewColumn(name=title, fields=[], proposed=f"mailAddress:{title}" if at == best else None)
        for at, title in enumerate(titles)
    ]
    if best is not None:
        message = f"{message} It may be column=mailAddress:{titles[best]}."
    return ImportPreview(
        message=message, columns=columns, rows=[], report=[], **_format_of(table), **dict.fromkeys(_COUNTS)
    )
