"""Defines the query parameters and response bodies of imports and exports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from crud_api.base_schema import Query, ResponseBody
from crud_api.fields import NO_NUL_PATTERN, without_nul
from crud_api.imports.csv_file import Delimiter
from crud_api.imports.encodings import KnownEncoding
from crud_api.imports.layout import LONGEST_COLUMN_NAME
from crud_api.paging import Paging

MOST_CHOSEN = (
    100  # more would exceed the maximum length of a URL; the first line of the file can name all columns
)
SheetName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    AfterValidator(without_nul),
    Field(json_schema_extra={"pattern": NO_NUL_PATTERN}),
]
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
        None,
        description="By default, the one that a line `sep=` states, or that divides the first lines best",
    )
    encoding: KnownEncoding | None = Field(
        None, description="By default, it is detected; a byte order mark of UTF-16 always counts"
    )
    sheet: SheetName | None = Field(
        None,
        description="Name or number, from 1, of the sheet of a workbook. By default, the first one that is "
        "visible and not empty",
    )
    dry_run: bool = Field(
        False,
        alias="dryRun",
        description="Change nothing; answer with status 200 how the file is read and what would happen",
    )


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
    ignored_columns: list[str] = Field(description="At most 500 of them")
    columns: dict[str, list[str]] = Field(
        description="The columns that were read, by field", examples=[{"mailAddress": ["E-Mail"]}]
    )
    encoding: str | None = Field(description="Null for a workbook", examples=["utf-8", "windows-1250"])
    encoding_confidence: float | None = Field(
        description="How sure the encoding is: 1 is certain, 0.5 a toss-up; null if the request states it"
    )
    delimiter: str | None = Field(examples=["comma", "semicolon"])
    sheet: str | None = Field(description="The sheet of a workbook that was read")
    header_line: int | None = Field(
        description="The line with the names of the columns; earlier ones are skipped"
    )
    created_at: datetime
    finished_at: datetime | None


class PreviewColumn(ResponseBody):
    """A column of a file, and how an import would read it."""

    name: str
    fields: list[str] = Field(
        description="The fields that it fills; empty if it is ignored", examples=[["mailAddress"]]
    )
    proposed: str | None = Field(
        description="A value of the parameter `column` by which the import would read it",
        examples=["attributes.City:City"],
    )


class PreviewRow(ResponseBody):
    """A row as it would be imported, with its outcome if it would be reported."""

    line: int
    name: str | None
    mail_address: str | None
    is_active: bool | None
    attributes: dict[str, Any] | None
    opt_out: str | None = Field(description="The reason of the suppression, if the contact wants no mail")
    outcome: str | None
    reason: str | None


class ReportLine(ResponseBody):
    """A line of the report of an import."""

    line: int
    outcome: str
    reason: str


class ImportPreview(ResponseBody):
    """What an import of a file would do. Nothing was changed."""

    dry_run: Literal[True] = True
    message: str | None = Field(description="Why the import would fail; the counts are then null")
    encoding: str | None
    encoding_confidence: float | None
    delimiter: str | None
    sheet: str | None
    sheets: list[str] = Field(description="The sheets of a workbook")
    header_line: int | None
    columns: list[PreviewColumn]
    rows: list[PreviewRow] = Field(description="The first ten rows")
    report: list[ReportLine] = Field(description="The first hundred lines of the report")
    rows_read: int | None
    added: int | None
    changed: int | None
    enrolled: int | None
    merged: int | None
    refused: int | None
    flagged: int | None
    not_enrolled: int | None
    opted_out: int | None
    missing_names: int | None


class ImportQuery(Paging):
    """Query parameters of the list of imports."""
