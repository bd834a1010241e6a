"""Creates, reads, changes and deletes sequences."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crud_api.errors import NotFoundError
from crud_api.paging import Page
from crud_api.sequences import repository
from crud_api.sequences.schemas import Sequence, SequenceChanges, SequenceCreate, SequenceQuery
from crud_api.steps import repository as steps
from crud_api.steps.schemas import Step
from crud_api.tables import AnyRow


def create(connection: Connection, body: SequenceCreate) -> Sequence:
    values = _columns(body.model_dump(exclude={"steps"}))
    sequence = repository.add(connection, values)
    added = steps.add(connection, sequence.row_key, [step.model_dump() for step in body.steps])
    return _shown(sequence, added)


def read(connection: Connection, query: SequenceQuery) -> Page[Sequence]:
    page = repository.read(connection, query)
    steps_of = steps.of_sequences(connection, [row.row_key for row in page.items])
    return page.with_items([_shown(row, steps_of[row.row_key]) for row in page.items])


def find(connection: Connection, sequence: UUID, *, lock: bool = False) -> Sequence:
    return _with_steps(connection, _found(repository.find(connection, sequence, lock=lock), sequence))


def change(connection: Connection, sequence: UUID, body: SequenceChanges) -> Sequence:
    changes = _columns(body.changes())
    if not changes:
        return find(connection, sequence)
    return _with_steps(connection, _found(repository.change(connection, sequence, changes), sequence))


def delete(connection: Connection, sequence: UUID) -> None:
    """Delete the sequence. The checks before each send stop what is already planned."""
    if not repository.delete(connection, sequence):
        raise _not_found(sequence)


def internal_id(connection: Connection, sequence: UUID) -> int:
    """Return the internal id of a live sequence; raise NotFoundError if there is none."""
    found = repository.find_id(connection, sequence)
    if found is None:
        raise _not_found(sequence)
    return found


def internal_id_with_deleted(connection: Connection, sequence: UUID) -> int:
    """Do the same for a sequence that may be deleted."""
    found = repository.find_id_with_deleted(connection, sequence)
    if found is None:
        raise _not_found(sequence)
    return found


def _columns(fields: dict[str, Any]) -> dict[str, Any]:
    return {"sequence_name" if name == "name" else name: value for name, value in fields.items()}


def _found(row: AnyRow | None, sequence: UUID) -> AnyRow:
    if row is None:
        raise _not_found(sequence)
    return row


def _not_found(sequence: UUID) -> NotFoundError:
    return NotFoundError(f"No sequence has the id {sequence}.")


def _with_steps(connection: Connection, row: AnyRow) -> Sequence:
    return _shown(row, steps.of_sequences(connection, [row.row_key])[row.row_key])


def _shown(row: AnyRow, step_rows: list[AnyRow]) -> Sequence:
    return Sequence.of(row, steps=[Step.of(step) for step in step_rows])
