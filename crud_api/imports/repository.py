"""Imports files in one transaction: copies rows to temporary tables, then merges them with set statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, CursorResult, select

from crud_api.database import CopyOut, Database, copy_cursor, run
from crud_api.errors import UnavailableError
from crud_api.imports.csv_file import Layout
from crud_api.imports.schemas import ContactExportQuery, ImportQuery
from crud_api.paging import Page, read_page
from crud_api.tables import AnyRow, imports
from sequence_store.postgres.queries import query

MOST_RUNNING = 2  # across all processes: an import holds a connection while it reads and merges its file
BLOCK = 64 * 1024


@dataclass(frozen=True)
class Merge:
    """How the rows of an import are merged: `change` updates existing contacts."""

    import_id: int
    pads: bytes
    change: bool
    quiet_days: int  # after a reply, in which a contact is not enrolled again
    opt_outs: bool  # whether a row says that its contact does not want mail


SHOWN = (
    imports.c.id.label("row_key"),
    imports.c.external_id.label("id"),
    *(column for column in imports.c if column.name not in {"id", "external_id", "created", "updated"}),
    imports.c.created.label("created_at"),
)


def read(connection: Connection, paging: ImportQuery) -> Page[AnyRow]:
    return read_page(connection, select(*SHOWN).select_from(imports), paging, key=imports.c.id)


def find(connection: Connection, wanted: UUID) -> AnyRow | None:
    return connection.execute(select(*SHOWN).where(imports.c.external_id == wanted)).first()


def finished(connection: Connection, import_id: int) -> AnyRow:
    return connection.execute(select(*SHOWN).where(imports.c.id == import_id)).one()


def find_interrupted(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Return which of these imports were interrupted because their process ended."""
    return set(_run(connection, "find_gone", ids=list(ids)).scalars())


def begin(connection: Connection, kind: str) -> int:
    return int(_run(connection, "begin_import", kind=kind).scalar_one())


def show_progress(connection: Connection, import_id: int, state: str, rows: int) -> None:
    _run(connection, "show_progress", import_id=import_id, state=state, rows_read=rows)


def fail(connection: Connection, import_id: int, message: str) -> None:
    _run(connection, "fail_import", import_id=import_id, message=message)


def start(connection: Connection, import_id: int) -> None:
    """Prepare the transaction of an import; raise UnavailableError if too many imports are running."""
    _run(connection, "allow_time")
    _run(connection, "mark_alive", import_id=import_id)
    if not any(_run(connection, "take_slot", slot=slot).scalar_one() for slot in range(MOST_RUNNING)):
        raise UnavailableError("Too many imports are running. Try again when one of them has finished.")


def stage(connection: Connection, lines: Iterable[str]) -> None:
    """Copy lines in COPY text format to a temporary table."""
    _run(connection, "create_staging")
    with copy_cursor(connection) as cursor, cursor.copy(query("imports", "copy_rows")) as copy:
        for block in _blocks(lines):
            copy.write(block)


def settle_rows(connection: Connection, import_id: int) -> None:
    """Keep one valid row per address, and add the other rows to the report."""
    _run(connection, "wait_for_other_merges")
    _run(connection, "report_rows", import_id=import_id)
    _run(connection, "drop_refused")
    _run(connection, "analyze_staging")
    _run(connection, "merge_repeated", import_id=import_id)


def refuse_suppressed(connection: Connection, import_id: int, pads: bytes) -> None:
    _run(connection, "refuse_suppressed", import_id=import_id, pads=pads)


def suppress_opted_out(connection: Connection, pads: bytes) -> None:
    """Suppress the addresses of the rows that say so, end their enrolments and cancel their sends."""
    _run(connection, "stop_opted_out", pads=pads)
    _run(connection, "suppress_opted_out", pads=pads)


def merge_contacts(connection: Connection, merge: Merge) -> dict[str, int]:
    """Add new contacts and update existing ones; return the counts."""
    _find_known(connection)
    changed = _run(connection, "change_known").rowcount if merge.change else 0
    return {"added": _run(connection, "add_new", pads=merge.pads).rowcount, "changed": changed, "enrolled": 0}


def merge_and_enrol(
    connection: Connection, merge: Merge, sequence_id: int, next_send: date
) -> dict[str, int]:
    """Do the same, and enrol the contacts that have never been in the sequence and want mail."""
    _find_known(connection)
    changed = _run(connection, "change_known").rowcount if merge.change else 0
    enrolment = {"sequence_id": sequence_id, "next_send": next_send}
    quiet = {"import_id": merge.import_id, "quiet_days": merge.quiet_days}
    known = _run(connection, "enrol_known", **quiet, **enrolment).scalar_one()
    adding = {"pads": merge.pads, "opt_outs": merge.opt_outs, **enrolment}
    new = _run(connection, "add_and_enrol_new", **adding).one()
    _run(connection, "report_not_enrolled_new", import_id=merge.import_id)
    return {"added": new.added, "changed": changed, "enrolled": known + new.enrolled}


def merge_suppressions(connection: Connection, pads: bytes) -> dict[str, int]:
    """Suppress the addresses, end their enrolments and cancel their sends; return the counts."""
    _run(connection, "stop_suppressed", pads=pads)
    added = _run(connection, "add_suppressions", pads=pads).scalar_one()
    return {"added": added, "changed": 0, "enrolled": 0, "opted_out": 0, "missing_names": 0}


def finish(
    connection: Connection, import_id: int, rows: int, counts: Mapping[str, int], layout: Layout
) -> None:
    _run(connection, "forget_old_imports")
    columns = {"ignored_columns": list(layout.ignored), "opt_out_columns": layout.opt_out_columns}
    _run(connection, "finish_import", **counts, **columns, import_id=import_id, rows_read=rows)


def export_contacts(store: Database, selection: ContactExportQuery, pads: bytes, *, prefix: bytes) -> CopyOut:
    values = {"pads": pads, **selection.model_dump()}
    return CopyOut(store, "imports", "export_contacts", values, prefix=prefix)


def export_report(store: Database, import_id: int) -> CopyOut:
    return CopyOut(store, "imports", "export_report", {"import_id": import_id})


def _find_known(connection: Connection) -> None:
    _run(connection, "find_known")
    _run(connection, "analyze_known")


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    """Join lines into blocks of at least BLOCK characters, to limit the number of writes."""
    block: list[str] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BLOCK:
            yield "".join(block)
            block.clear()
            size = 0
    yield "".join(block)


def _run(connection: Connection, name: str, **values: object) -> CursorResult[Any]:
    return run(connection, "imports", name, values)
