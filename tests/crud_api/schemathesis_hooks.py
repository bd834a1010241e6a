"""Applies to generated requests the rules of the API that JSON Schema cannot express."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis.transport.serialization import Binary

from crud_api.contacts.attributes import LARGEST_INT

LISTS = {
    "/sequences/{sequence_id}/contacts": "contactIds",
    "/sequences/{sequence_id}/mailboxes": "mailboxIds",
}
SOME_ID = "0d5c9d3e-6f1b-4c8e-9a53-2f1c1f7e8a10"
RAMP_UP = ("rampUpStart", "rampUpDailyIncrement", "rampUpStarted")


def storable(value: Any) -> Any:
    """Return JSON without the character NUL and without integers of more than 64 bits."""
    match value:
        case dict():
            return {storable(name): storable(item) for name, item in value.items()}
        case list():
            return [storable(item) for item in value]
        case str():
            return value.replace("\0", "")
        case int() if abs(value) > LARGEST_INT:
            return LARGEST_INT
    return value


def one_id(value: Any) -> Any:
    """Return the id that an inferred link passes.

    It may pass the list `contactIds` for `contact_id`, or an id that is null, as those of an event may be.
    """
    if isinstance(value, list) and value:
        return value[0]
    return SOME_ID if value in (None, "None") else value


@schemathesis.hook
def filter_query(context: schemathesis.HookContext, query: Any) -> bool:
    """Reject queries with an empty size or page (the API ignores them), and lists or objects as values."""
    sizes = [query[name] for name in ("size", "page") if query and name in query]
    return not any(size == "" or isinstance(size, dict | list) for size in sizes)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Make generated requests valid: one id in a path, days in order, distinct steps, a ramp-up, a file."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    listed = LISTS.get(case.path) if case.method == "DELETE" else None
    if listed and not isinstance(case.body, dict) and not (case.query or {}).get(listed):
        case.query = dict(case.query or {}) | {listed: [SOME_ID]}  # the list is in the body or in the query
    case.path_parameters = {name: one_id(value) for name, value in (case.path_parameters or {}).items()}
    days = [case.query[name] for name in ("from", "to") if name in (case.query or {})]
    if len(days) == 2:
        case.query = dict(case.query) | dict(zip(("from", "to"), sorted(days), strict=True))
    if case.media_type == "application/octet-stream" and isinstance(case.body, Binary):
        case.body = Binary(b"name,mailAddress,reason\nAda,ada@example.com," + case.body.data + b"\n")
    if not isinstance(case.body, dict):
        return
    if "steps" in case.body:
        steps = [step | {"stepNumber": number} for number, step in enumerate(case.body["steps"], 1)]
        case.body = case.body | {"steps": steps}
    if "attributes" in case.body:
        case.body = case.body | {"attributes": storable(case.body["attributes"])}
    named = [case.body[name] for name in RAMP_UP if name in case.body]
    if named and (None in named or len(named) < len(RAMP_UP)):
        case.body = case.body | dict.fromkeys(RAMP_UP)
