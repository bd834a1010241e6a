"""Creates or changes contacts by their address: one, or a list in which each row succeeds or fails alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from crud_api.contacts import repository
from crud_api.contacts.schemas import Contact, ContactRow, ContactRows, ContactUpsert, RowResult, RowResults
from crud_api.contacts.service import find
from crud_api.errors import ConflictError
from crud_api.exception_handlers import describe
from crud_api.tables import AnyRow

TRIES = 3  # another request may add an address between reading and adding it


def upsert(connection: Connection, address: str, body: ContactUpsert, pads: bytes) -> tuple[Contact, bool]:
    """Create or change the contact with this address; return it, and whether it is new."""
    row, outcome = _upsert(connection, {address.lower(): (address, body.changes())}, pads)[address.lower()]
    return find(connection, row.id, pads), outcome == "created"


def upsert_rows(connection: Connection, body: ContactRows, pads: bytes) -> RowResults:
    """Create or change the contacts of a list, and return the result of each row.

    Rows with the same address are merged; later values replace earlier ones.
    """
    faults: dict[int, str] = {}
    keys: dict[int, str] = {}
    wanted: dict[str, tuple[str, dict[str, Any]]] = {}
    for index, item in enumerate(body.contacts):
        try:
            row = ContactRow.model_validate(item)
        except ValidationError as error:
            faults[index] = "; ".join(
                describe({**fault, "loc": ("body", *fault["loc"])})
                for fault in error.errors(include_input=False)
            )
            continue
        changes = row.changes()
        changes.pop("mail_address", None)
        key = keys[index] = row.mail_address.lower()
        wanted[key] = (row.mail_address, (wanted[key][1] if key in wanted else {}) | changes)
    done = _upsert(connection, wanted, pads) if wanted else {}
    firsts = {key: index for index, key in reversed(keys.items())}
    results = [
        RowResult(index=index, outcome="refused", id=None, message=faults[index])
        if index in faults
        else _result(index, *done[keys[index]], is_first=firsts[keys[index]] == index)
        for index in range(len(body.contacts))
    ]
    counts = Counter(result.outcome for result in results)
    return RowResults(
        created=counts["created"],
        changed=counts["changed"],
        unchanged=counts["unchanged"],
        merged=counts["merged"],
        refused=counts["refused"],
        results=results,
    )


def _result(index: int, row: AnyRow, outcome: str, *, is_first: bool) -> RowResult:
    shown = outcome if is_first else "merged"
    return RowResult.model_validate({"index": index, "outcome": shown, "id": row.id, "message": None})


def _upsert(
    connection: Connection, wanted: Mapping[str, tuple[str, dict[str, Any]]], pads: bytes
) -> dict[str, tuple[AnyRow, str]]:
    """Create or change contacts; return each row with what was done, by the address in lower case."""
    done: dict[str, tuple[AnyRow, str]] = {}
    for _ in range(TRIES):
        missing = [key for key in wanted if key not in done]
        known = repository.find_by_addresses(connection, missing)
        for key, row in known.items():
            done[key] = _change(connection, row, wanted[key][1], pads)
        for key in sorted(set(missing) - known.keys()):  # all requests take their locks in this order
            address, values = wanted[key]
            added = repository.add_unless_known(
                connection, {"name": "", "mail_address": address} | values, pads
            )
            if added is not None:
                done[key] = added, "created"
        if len(done) == len(wanted):
            return done
    raise ConflictError("mailAddress: another request adds and deletes the same contacts. Try again.")


def _change(
    connection: Connection, row: AnyRow, values: Mapping[str, Any], pads: bytes
) -> tuple[AnyRow, str]:
    changes = {name: value for name, value in values.items() if getattr(row, name) != value}
    if not changes:
        return row, "unchanged"
    return repository.change(connection, row.id, changes, pads) or row, "changed"
