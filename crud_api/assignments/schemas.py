"""Defines the request body for assigning mailboxes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crud_api.base_schema import EXAMPLE_ID, Query, RequestBody, example
from crud_api.fields import Id
from crud_api.listed_ids import ListedIds

MOST_MAILBOXES = 10_000


class MailboxIds(RequestBody):
    """A list of mailboxes."""

    model_config = example({"mailboxIds": [EXAMPLE_ID]})

    mailbox_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_MAILBOXES)]


class MailboxIdsQuery(Query):
    """The same list in the query of a DELETE."""

    mailbox_ids: ListedIds = Field([], alias="mailboxIds")
