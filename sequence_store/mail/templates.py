"""Renders and checks customers' Liquid templates: known variables only, with limits on time and size."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any

from liquid import BoundTemplate, Environment
from liquid.exceptions import (
    FilterArgumentError,
    FilterError,
    FilterItemTypeError,
    FilterValueError,
    LiquidError,
    LiquidSyntaxError,
    LiquidTypeError,
    LocalNamespaceLimitError,
    LoopIterationLimitError,
    OutputStreamLimitError,
    ResourceLimitError,
    TemplateNotFoundError,
    UndefinedError,
    UnknownFilterError,
)
from liquid.undefined import StrictDefaultUndefined

from sequence_store.errors import TemplateError

LONGEST_OUTPUT = 1_000_000
LOOP_LIMIT = 10_000
NAMESPACE_LIMIT = 2_000_000
LONGEST_FAULT = 150
LONGEST_TAIL = 1_000

KNOWN = (
    "contact.name, contact.mail_address, contact.attributes.…, sender.name, sender.address, unsubscribe_url"
)
_SCALARS = [["contact", "name"], ["contact", "mail_address"], ["sender", "name"], ["sender", "address"]]
_ENDED = (
    (re.compile(r"\{\{"), re.compile(r"\}\}")),
    (re.compile(r"\{%-?\s*raw\b"), re.compile(r"\bendraw\b")),
    (re.compile(r"\{%-?\s*doc\b"), re.compile(r"\benddoc\b")),
)
# What a template can make Liquid raise besides its own errors.
_PYTHON_ERRORS = (RecursionError, ArithmeticError, LookupError, AttributeError, ValueError, TypeError)
# What an error means; the first match counts. Only messages of these kinds quote no value of a contact.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (UndefinedError, "{message}"),
    (UnknownFilterError, "{message}"),
    (LiquidSyntaxError, "{message}"),
    (TemplateNotFoundError, "another template cannot be included"),
    (LoopIterationLimitError, f"its loops have more than {LOOP_LIMIT:,} rounds"),
    (OutputStreamLimitError, f"its result is longer than {LONGEST_OUTPUT:,} bytes"),
    (LocalNamespaceLimitError, "its variables need too much memory"),
    (ResourceLimitError, "it is nested too deeply"),
    (FilterError, "a filter got a value that it cannot use"),
    (FilterArgumentError, "a filter got a value that it cannot use"),
    (FilterValueError, "a filter got a value that it cannot use"),
    (FilterItemTypeError, "a filter got a value that it cannot use"),
    (LiquidTypeError, "a value has a type that cannot be used there"),
    (RecursionError, "it is nested too deeply"),
    (ZeroDivisionError, "it divides by zero"),
    (ArithmeticError, "a number is too large"),
    (ValueError, "a value cannot be used there"),
    (TypeError, "a value has a type that cannot be used there"),
)
_BLANK = re.compile(r"\{\{-?\s{50}")
_LINE_END = re.compile(r"\r\n?|\n")


class _MailEnvironment(Environment):
    loop_iteration_limit = LOOP_LIMIT
    local_namespace_limit = NAMESPACE_LIMIT
    output_stream_limit = LONGEST_OUTPUT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        del self.filters["safe"]  # in HTML every value is escaped
        for name, call in self.filters.items():
            self.filters[name] = _bounded(name, call)


def _bounded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Reject calls with a huge result; Liquid's own limits count only the template's output."""

    @wraps(call)
    def bounded(value: Any, *arguments: Any, **keywords: Any) -> Any:
        if _is(value, range) and len(value) > LOOP_LIMIT:
            raise TemplateError("a range is too long")
        if _result_length(name, value, arguments) > LONGEST_OUTPUT:
            raise TemplateError(f"the result of the filter {name} is too long")
        return call(value, *arguments, **keywords)

    return bounded


def _result_length(name: str, value: Any, arguments: tuple[Any, ...]) -> int:
    """Return an upper bound of the length of a filter's result; 0 if it cannot grow much."""
    lengths = [len(part) if _is(part, str) else 0 for part in (value, *arguments)]
    if name.startswith("replace") and len(lengths) > 1 and all(lengths[:2]):
        return lengths[0] + value.count(arguments[0]) * sum(lengths[2:])
    if name == "join" and _is(value, (list, tuple)):
        return sum(len(part) if _is(part, str) else 32 for part in value) + sum(lengths[1:]) * len(value)
    return sum(lengths)


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Act like isinstance without touching the value: an undefined value raises on every access."""
    return issubclass(type(value), kind)


_TEXT = _MailEnvironment(undefined=StrictDefaultUndefined, autoescape=False)
_HTML = _MailEnvironment(undefined=StrictDefaultUndefined, autoescape=True)


@lru_cache(maxsize=512)
def _parsed(source: str, *, escape: bool) -> BoundTemplate:
    _refuse_endless(source)
    return (_HTML if escape else _TEXT).from_string(source)


def _refuse_endless(source: str) -> None:
    """Reject templates whose unclosed tags make Liquid's parser search for minutes."""
    if blank := _BLANK.search(source):
        raise TemplateError(f"line {_lines(source[: blank.start()])}: {{{{ is followed by too many spaces")
    for opening, closing in _ENDED:
        *_, last = [0, *(match.end() for match in closing.finditer(source))]
        unended = opening.search(source, last)
        if unended and len(source) - last > LONGEST_TAIL:
            raise TemplateError(f"line {_lines(source[: unended.start()])}: {unended[0]} is not closed")


def render(source: str, names: Mapping[str, object], *, escape: bool) -> str:
    """Render a template; with `escape`, escape its values for HTML.

    Raise TemplateError, whose message holds no value.
    """
    try:
        return _parsed(source, escape=escape).render(**names)
    except LiquidError as error:
        raise TemplateError(_reason(error)) from None
    except _PYTHON_ERRORS as error:
        raise TemplateError(_reason(error)) from None


def check(source: str) -> None:
    """Raise TemplateError, with the line, if the template would fail for every contact.

    That is: it does not parse, or it uses an unknown variable or filter.
    """
    try:
        found = _parsed(source, escape=False).analyze()
    except LiquidError as error:
        context = error.context()
        raise TemplateError(f"line {context[0] if context else _lines(source)}: {_reason(error)}") from None
    except _PYTHON_ERRORS as error:
        raise TemplateError(f"line 1: {_reason(error)}") from None
    faults = [
        (variable.span.index, f"{variable} is not a known field; known fields are {KNOWN}")
        for variables in found.globals.values()
        for variable in variables
        if not _is_known(variable.segments)
    ]
    faults += [
        (span.index, f"{name} is not a known filter")
        for name, spans in found.filters.items()
        for span in spans
        if name not in _TEXT.filters
    ]
    if faults:
        index, fault = min(faults)
        raise TemplateError(f"line {_lines(source[:index])}: {fault[:LONGEST_FAULT]}")


def _is_known(path: Sequence[object]) -> bool:
    """Return whether a path is a known field; `contact` alone is not, nor is a computed path."""
    if path[:2] == ["contact", "attributes"] or path == ["unsubscribe_url"]:
        return True
    return path[:2] in _SCALARS and path[2:] in ([], ["size"])


def _lines(text: str) -> int:
    return len(_LINE_END.findall(text)) + 1


def _reason(error: Exception) -> str:
    """Say in words what is wrong, without the name of an exception and without a value of the contact."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            message = error.message if isinstance(error, LiquidError) else ""
            return (words.format(message=message) if message else words.removeprefix("{message}"))[
                :LONGEST_FAULT
            ]
    return "cannot be rendered"
