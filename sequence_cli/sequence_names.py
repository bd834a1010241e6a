"""Finds the sequence that a person names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import psycopg


def find_sequence(connection: psycopg.Connection[Any], name: str) -> int:
    """Return the internal id of the sequence with this name or id; deleted ones count if no other has it.

    Raise BadParameter if there is none, or if two have the name; the message then lists their ids.
    """
    from sequence_store.postgres.queries import query

    found = connection.execute(query("sends", "find_sequences"), {"name": name}).fetchall()
    live = [row for row in found if row[3] is None]
    chosen = live or found
    if not chosen:
        raise typer.BadParameter(f"no sequence has the name or the id {name!r}", param_hint="--sequence")
    if len(chosen) > 1:
        ids = "".join(
            f"\n  {public}  created {created:%Y-%m-%d %H:%M} UTC" for _, public, created, _ in chosen
        )
        raise typer.BadParameter(
            f"{len(chosen)} sequences have the name {name!r}. Name one of them by its id:{ids}",
            param_hint="--sequence",
        )
    return int(chosen[0][0])
