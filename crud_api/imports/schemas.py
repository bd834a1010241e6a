"""Imports, as they are asked for and answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crud_api.base_schema import Answer
from crud_api.imports.csv_file import LONGEST_COLUMN_NAME, Delimiter, Encoding
from crud_api.paging import Paging

MOST_CHOSEN = 100  # more is longer than an address may be; a file's own first line can name them all
Column = Annotated[str, StringConstraints(max_length=2 * LONGEST_COLUMN_NAME)]


class FileQuery(BaseModel):
    """How a file is to be read."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    column: list[Column] = Field(
        [],
        max_length=MOST_CHOSEN,
        description="Which column a field is in, `field:column`, such as `name:Full name`; without it a column "
        "is found by its name, in any case",
    )
    delimiter: Delimiter | None = Field(None, description="Without it, what the first line has most of")
    encoding: Encoding = Field("utf-8", description="A byte order mark in the file comes first")


class ContactFileQuery(FileQuery):
    """How a file of contacts is to be read, and what is to become of its rows."""

    sequence_id: UUID | None = Field(None, alias="sequenceId", description="Enrol them in this sequence, too")
    existing: Literal["update", "keep"] = Field(
        "update", description="Whether the file changes contacts that are there already"
    )
    other_columns: Literal["ignore", "attributes"] = Field("ignore", alias="otherColumns")
    role_addresses: Literal["flag", "refuse"] = Field(
        "flag", alias="roleAddresses", description="What becomes of postmaster@ and its like"
    )


class ContactExportQuery(BaseModel):
    """Which contacts are exported."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    is_active: bool | None = Field(None, alias="isActive")


class Import(Answer):
    """A file that was sent, and what became of its rows. No cell of it is kept here."""

    id: UUID
    kind: Literal["contacts", "suppressions"]
    state: Literal["reading", "merging", "done", "failed"]
    message: str | None = Field(description="Why it failed; then nothing of it was kept")
    rows_read: int
    added: int
    changed: int
    enrolled: int
    merged: int = Field(description="Rows whose address an earlier row of the file has")
    refused: int
    flagged: int = Field(description="Rows that went in, and should be looked at")
    not_enrolled: int
    ignored_columns: list[str]
    created_at: datetime
    finished_at: datetime | None


class ImportQuery(Paging):
    """The query of the list of imports."""
