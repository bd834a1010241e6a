"""Hooks of mkdocs: generate the reference from the code, and turn links out of docs/ into plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(make()) + "\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace links to files outside docs/, which the site does not contain, by their text."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def replacement(link: re.Match[str]) -> str:
        target = (folder / link[2].partition("#")[0]).resolve()
        return link[0] if target.is_relative_to(ROOT / "docs") else link[1]

    return _OUTSIDE.sub(replacement, markdown)


def commands() -> Iterator[str]:
    import typer.main

    from sequence_cli.main import app

    yield "# Commands\n"
    yield "Generated from the code. `sequences --install-completion` adds completion to the shell.\n"
    yield from _commands("sequences", typer.main.get_command(app))


def _commands(name: str, command: Any) -> Iterator[str]:
    members = getattr(command, "commands", None)
    if members:
        for member in sorted(members):
            yield from _commands(f"{name} {member}", members[member])
        return
    yield f"## {name}\n"
    yield f"{command.help or ''}\n"
    rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        yield "| parameter | meaning |\n|---|---|"
        yield from rows
        yield ""


def _parameter(parameter: Any) -> str:
    shown = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        shown = (parameter.metavar or parameter.name).upper()
    default = parameter.default
    plain = isinstance(default, (str, int)) and not isinstance(default, bool) and default != ""
    meaning = (getattr(parameter, "help", None) or "") + (f" Default: `{default}`." if plain else "")
    return f"| `{shown}` | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def messages() -> Iterator[str]:
    from sequence_store.domain.messages import DeliveryResult, SendMessage

    yield "# Messages\n"
    yield "Generated from the code. Messages are JSON. They wake a consumer; the row in `sends` decides.\n"
    for title, kind in (("On SENDS_QUEUE", SendMessage), ("On DELIVERY_RESULTS_QUEUE", DeliveryResult)):
        schema = kind.model_json_schema()
        yield f"## {title}\n\n{(kind.__doc__ or '').strip()}\n"
        yield "| field | type | required |\n|---|---|---|"
        for name, field in schema["properties"].items():
            required = "yes" if name in schema.get("required", ()) else "no"
            yield f"| `{name}` | {_type(field, schema)} | {required} |"
        yield ""


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if reference := field.get("$ref"):
        field = schema["$defs"][reference.rpartition("/")[2]]
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    bounds = f", {field['minimum']} to {field['maximum']}" if "minimum" in field else ""
    return f"{field.get('format', field['type'])}{bounds}"


def tables() -> Iterator[str]:
    schema = (ROOT / "migrations" / "schema.sql").read_text(encoding="utf-8")
    yield "# Tables\n"
    yield "Generated from the schema that the migrations create.\n"
    comments = re.findall(r"^COMMENT ON \w+ public\.([\w.]+) IS '(.*)';$", schema, re.MULTILINE)
    meanings = {of: text.replace("''", "'") for of, text in comments}
    for name, body in sorted(
        re.findall(r"^CREATE TABLE public\.(\w+) \(\n(.*?)\n\)", schema, re.MULTILINE | re.DOTALL)
    ):
        yield f"## {name}\n\n{meanings[name]}.\n\n| column | type | meaning |\n|---|---|---|"
        lines = [line.strip().rstrip(",") for line in body.splitlines()]
        for line in lines:
            if not line.startswith("CONSTRAINT "):
                column, _, kind = line.partition(" ")
                yield f"| `{column}` | `{_cell(kind)}` | {_cell(meanings.get(f'{name}.{column}', ''))} |"
        checks = [
            line.partition(" CHECK ")[2]
            for line in lines
            if " CHECK " in line and line.startswith("CONSTRAINT ")
        ]
        if checks:
            yield "\nConstraints:\n"
            yield from (f"- `{check}`" for check in checks)
        yield ""


def words() -> Iterator[str]:
    from enum import StrEnum

    from sequence_store.domain import states
    from sequence_store.domain.explanations import EXPLANATIONS

    yield "# Words\n"
    yield "Generated from the code: the states, reasons and events that the database stores.\n"
    for name, kind in vars(states).items():
        if not (isinstance(kind, type) and issubclass(kind, StrEnum)) or kind is StrEnum:
            continue
        yield f"## {name}\n\n{(kind.__doc__ or '').strip()}\n"
        yield "| word | meaning | action |\n|---|---|---|"
        for word in kind:
            meaning, action = EXPLANATIONS.get(word, ("", ""))
            yield f"| `{word}` | {meaning} | {action} |"
        yield ""


def metrics() -> Iterator[str]:
    from sequence_cli.state_metrics import METRICS
    from step_mailing_worker.metrics import WorkerMetrics

    yield "# Metrics\n"
    yield "Generated from the code. The API's `/metrics` use OpenTelemetry's names for servers and pools.\n"
    worker = {family.name: family.documentation for family in WorkerMetrics().registry.collect()}
    for title, families in (("sequences metrics", METRICS), ("sequences worker", worker)):
        yield f"## {title}\n\n| name | meaning |\n|---|---|"
        yield from (f"| `{name}` | {meaning} |" for name, meaning in families.items())
        yield ""


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "messages": messages,
    "tables": tables,
    "words": words,
    "metrics": metrics,
}
