"""Reads and writes steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, update

from crud_api.tables import AnyRow, steps

LIVE = steps.c.deleted_at.is_(None)
SHOWN = (
    steps.c.external_id.label("id"),
    steps.c.sequence_id,
    steps.c.step_number,
    steps.c.step_name,
    steps.c.mail_subject,
    steps.c.mail_content,
    steps.c.mail_format,
    steps.c.delay_days,
    steps.c.created.label("created_at"),
    steps.c.updated.label("last_updated_at"),
)


def add(connection: Connection, sequence_id: int, values: Sequence[Mapping[str, Any]]) -> list[AnyRow]:
    """Insert the steps of one sequence; return them in order of step number."""
    rows = [{**step, "sequence_id": sequence_id} for step in values]
    added = connection.execute(insert(steps).values(rows).returning(*SHOWN)).all()
    return sorted(added, key=lambda step: step.step_number)


def of_sequences(connection: Connection, sequence_ids: Sequence[int]) -> dict[int, list[AnyRow]]:
    """Return the live steps of each sequence, in order of step number."""
    statement = select(*SHOWN).where(steps.c.sequence_id.in_(sequence_ids), LIVE)
    found: dict[int, list[AnyRow]] = defaultdict(list)
    for step in connection.execute(statement.order_by(steps.c.sequence_id, steps.c.step_number)):
        found[step.sequence_id].append(step)
    return found


def first(connection: Connection, sequence_id: int) -> AnyRow | None:
    """Return the live step with the lowest number, at which an enrolment starts."""
    statement = select(*SHOWN).where(steps.c.sequence_id == sequence_id, LIVE)
    return connection.execute(statement.order_by(steps.c.step_number).limit(1)).first()


def find(connection: Connection, sequence_id: int, step: UUID, *, lock: bool = False) -> AnyRow | None:
    statement = select(*SHOWN).where(steps.c.external_id == step, steps.c.sequence_id == sequence_id, LIVE)
    return connection.execute(statement.with_for_update() if lock else statement).first()


def change(connection: Connection, sequence_id: int, step: UUID, values: Mapping[str, Any]) -> AnyRow | None:
    statement = update(steps).where(steps.c.external_id == step, steps.c.sequence_id == sequence_id, LIVE)
    return connection.execute(statement.values(**values).returning(*SHOWN)).first()


def delete(connection: Connection, sequence_id: int, step: UUID) -> int | None:
    """Mark a live step as deleted; return its internal id, or None if there is none."""
    statement = update(steps).where(steps.c.external_id == step, steps.c.sequence_id == sequence_id, LIVE)
    return connection.execute(
        statement.values(deleted_at=func.now()).returning(steps.c.id)
    ).scalar_one_or_none()


def cancel_sends(connection: Connection, step_id: int) -> int:
    """Cancel the sends of a step that are not yet being transmitted; return their number."""
    return connection.execute(select(func.cancel_step_sends(step_id))).scalar_one()
