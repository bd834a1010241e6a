"""Compares the database's revision with the newest one of this release.

The release's revision is the name of the last file in migrations/versions. It is read as a file name because
only the owner's commands import the migrations.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sequence_store.errors import UnknownSchemaError

_REVISION = re.compile(r"\d{4}_\w+")


class SchemaState(StrEnum):
    """The database's schema compared with this release's."""

    SAME = "same"
    OLDER = "older"
    NEWER = "newer"


@cache
def release_revision() -> str:
    """Return the newest revision of this release; raise UnknownSchemaError if it has no migrations."""
    spec = find_spec("migrations")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    names = [file.stem for folder in folders for file in Path(folder).glob("versions/*.py")]
    if not (revisions := [name for name in names if _REVISION.fullmatch(name)]):
        raise UnknownSchemaError("This installation has no migrations. Install the product as a whole.")
    return max(revisions)


def schema_state(found: str | None) -> SchemaState:
    """Compare the database's revision; None, or one from before the baseline, is older.

    Programs of the previous release work on a newer schema, so that an upgrade can migrate first.
    """
    own = release_revision()
    if found == own:
        return SchemaState.SAME
    if found is None or not _REVISION.fullmatch(found):
        return SchemaState.OLDER
    return SchemaState.NEWER if found > own else SchemaState.OLDER


def newer_schema(found: str | None) -> str:
    """Return the line that a program of an earlier release logs."""
    return (
        f"the database is at revision {found}, newer than this release's {release_revision()}: it works "
        "for the time of an upgrade. Use the release that migrated the database, or a newer one."
    )
