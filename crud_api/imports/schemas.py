"""Defines the query parameters and response bodies of imports and exports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from crud_api.base_schema import Query, ResponseBody
from crud_api.imports.csv_file import LONGEST_COLUMN_NAME, Delimiter, Encoding
from crud_api.paging import Paging

MOST_CHOSEN = (
    100  # more would exceed the maximum length of a URL; the first line of the file can name all columns
)
Column = Annotated[str, StringConstraints(max_length=2 * LONGEST_COLUMN_NAME)]


class FileQuery(Query):
    """How to read a file."""

    column: list[Column] = Field(
        [],
        max_length=MOST_CHOSEN,
        description="The column of a field, as `field:column`, for example `name:Full name`. By default, "
        "columns are found by name; case is ignored",
    )
    delimiter: Delimiter | None = Field(
        None, description="By default, the delimiter that is most frequent in the first line"
    )
    encoding: Encoding = Field("utf-8", description="Encoding of the file, if it has no byte order mark")


class ContactFileQuery(FileQuery):
    """How to read a file of contacts, and how to import its rows."""

    sequence_id: UUID | None = Field(
        None, alias="sequenceId", description="Enrol the contacts in this sequence"
    )
    existing: Literal["update", "keep"] = Field(
        "update", description="`update` changes existing contacts; `keep` leaves them unchanged"
    )
    other_columns: Literal["ignore", "attributes"] = Field(
        "ignore",
        alias="otherColumns",
        description="`attributes` imports other columns as attributes of the contact",
    )
    role_addresses: Literal["flag", "refuse"] = Field(
        "flag",
        alias="roleAddresses",
        description="`flag` imports addresses such as postmaster@ and reports them; `refuse` skips them",
    )

    opt_outs: Literal["suppress", "ignore"] = Field(
        "suppress",
        alias="optOuts",
        description="What happens to contacts that do not want mail by a column of the file, such as "
        "`Unsubscribed from all email`: `suppress` imports and suppresses them; `ignore` does not read these "
        "columns",
    )


class ContactExportQuery(Query):
    """Query parameters of the export of contacts."""

    is_active: bool | None = Field(None, alias="isActive")
    suppressed: bool | None = None


class Import(ResponseBody):
    """An imported file, with the number of rows for each outcome. It contains no data from the file."""

    id: UUID
    kind: Literal["contacts", "suppressions"]
    state: Literal["reading", "merging", "done", "failed"]
    message: str | None = Field(
        description="The reason if the import failed; a failed import changes nothing"
    )
    rows_read: int
    added: int
    changed: int
    enrolled: int
    merged: int = Field(description="Rows with the same address as an earlier row")
    refused: int
    flagged: int = Field(description="Rows that were imported, but should be checked")
    not_enrolled: int
    opted_out: int = Field(description="Rows whose contact does not want mail; its address is suppressed")
    missing_names: int = Field(description="Rows whose name is empty or a placeholder, such as #N/A")
    opt_out_columns: list[str] = Field(description="The columns that were read as opt-outs")
    ignored_columns: list[str]
    created_at: datetime
    finished_at: datetime | None


class ImportQuery(Paging):
    """Query parameters of the list of imports."""
