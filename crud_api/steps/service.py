"""Adds, reads, changes and deletes the steps of a sequence."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from crud_api.errors import NotFoundError
from crud_api.sequences import repository as sequences
from crud_api.sequences.service import internal_id
from crud_api.steps import repository
from crud_api.steps.schemas import Step, StepChanges, StepCreate
from crud_api.tables import AnyRow


def add(connection: Connection, sequence: UUID, body: StepCreate) -> Step:
    sequence_id = internal_id(connection, sequence)
    [step] = repository.add(connection, sequence_id, [body.model_dump()])
    return Step.of(step)


def find(connection: Connection, sequence: UUID, step: UUID, *, lock: bool = False) -> Step:
    return _shown(repository.find(connection, internal_id(connection, sequence), step, lock=lock), step)


def change(connection: Connection, sequence: UUID, step: UUID, body: StepChanges) -> Step:
    sequence_id = internal_id(connection, sequence)
    changes = body.changes()
    if not changes:
        return _shown(repository.find(connection, sequence_id, step), step)
    return _shown(repository.change(connection, sequence_id, step, changes), step)


def delete(connection: Connection, sequence: UUID, step: UUID) -> None:
    """Delete the step if it exists, and cancel its sends that are not yet being transmitted."""
    sequence_id = sequences.find_id(connection, sequence)
    if sequence_id is None:
        return
    step_id = repository.delete(connection, sequence_id, step)
    if step_id is not None:
        repository.cancel_sends(connection, step_id)


def not_found(step: UUID) -> NotFoundError:
    return NotFoundError(f"The sequence has no step with the id {step}.")


def _shown(row: AnyRow | None, step: UUID) -> Step:
    if row is None:
        raise not_found(step)
    return Step.of(row)
