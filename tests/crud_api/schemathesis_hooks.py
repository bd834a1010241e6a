"""What JSON Schema has no words for: schemathesis keeps these rules, too, in what it makes up."""

from __future__ import annotations

from typing import Any

import schemathesis

RAMP_UP = ("rampUpStart", "rampUpDailyIncrement", "rampUpStarted")


@schemathesis.hook
def filter_query(context: schemathesis.HookContext, query: Any) -> bool:
    """Leave out an empty size or page, which is taken for none; an object or a list may be written as one."""
    sizes = [query[name] for name in ("size", "page") if query and name in query]
    return not any(size == "" or isinstance(size, dict | list) for size in sizes)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Make step numbers differ, the three fields of a ramp-up null where one is, and a file of a text."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.media_type == "text/csv" and isinstance(case.body, str):
        case.body = f"name,mailAddress,reason\nAda,ada@example.com,{case.body}\n"
    if not isinstance(case.body, dict):
        return
    if "steps" in case.body:
        steps = [step | {"stepNumber": number} for number, step in enumerate(case.body["steps"], 1)]
        case.body = case.body | {"steps": steps}
    named = [case.body[name] for name in RAMP_UP if name in case.body]
    if named and (None in named or len(named) < len(RAMP_UP)):
        case.body = case.body | dict.fromkeys(RAMP_UP)
