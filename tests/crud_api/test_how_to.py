"""Tests that follow the HTTP requests of the operator's pages, with the effect that the pages promise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from sequence_cli.main import app as cli
from tests.crud_api.conftest import MAILBOX, Api

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to" / "index.md").read_text(encoding="utf-8")
PAGES = ("how-to/index.md", "runbook.md", "deployment.md")
REQUEST = re.compile(r"`(GET|POST|PATCH|DELETE) (/[^`]*)`(?:(?: \||\s+(?:with|and))\s+`(\{[^`]*\})`)?")
WINDOW = {"sendStartTime": "00:00", "sendEndTime": "23:59", "sendDays": [1, 2, 3, 4, 5, 6, 7]}
ADDRESS = "ann@example.com"


@dataclass(frozen=True)
class Request:
    """A request as a page writes it: `{id}` and `…` stand for what the reader has."""

    method: str
    path: str
    body: str


def requests_of(text: str) -> list[Request]:
    found = (Request(method, path, body) for method, path, body in REQUEST.findall(text))
    return list(dict.fromkeys(found))


def section(heading: str) -> str:
    return HOW_TO.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@dataclass
class Reader:
    """Sends the requests of a page about its own sequence, contact and mailbox."""

    api: Api
    sequence: dict[str, Any]
    contact: dict[str, Any]
    mailbox: dict[str, Any]

    def path(self, written: str) -> str:
        ids = {
            "/sequences": self.sequence["id"],
            "/contacts": self.contact["id"],
            "/mailboxes": self.mailbox["id"],
            "/suppressions": self.api.get("/suppressions").json()[-1:] or [{"id": "none"}],
            "/imports": self.api.get("/imports").json()[-1:] or [{"id": "none"}],
            "/webhooks": self.api.get("/webhooks").json()[-1:] or [{"id": "none"}],
        }
        own: Any = next((value for start, value in ids.items() if written.startswith(start)), "")
        own = own[0]["id"] if isinstance(own, list) else own
        named = written.replace("{contactId}", self.contact["id"])
        named = named.replace("{stepId}", self.sequence["steps"][0]["id"])
        return named.replace("{id}", own).replace("…", quote(ADDRESS))

    def send(self, request: Request, **changes: Any) -> Any:
        """Send the request, with `changes` to its body; return its answer, which must be a success."""
        path, text = self.path(request.path), request.body.replace('["…"]', json.dumps([self.mailbox["id"]]))
        answer = self.api.request(request.method, path, **self.content(request, text, changes))
        assert answer.status_code in {200, 201, 202, 204}, (request, answer.status_code, answer.text)
        return answer

    def content(self, request: Request, text: str, changes: dict[str, Any]) -> dict[str, Any]:
        if text:
            body = json.loads(text.replace('"mailAddress": "…"', f'"mailAddress": "{ADDRESS}"')) | changes
            return {"json": body}
        if request.path == "/mailboxes":
            return {"json": {"address": "box@example.com"} | MAILBOX | WINDOW | changes}
        if request.path.endswith("/imports") and request.method == "POST":
            return {"content": b"mailAddress\nben@example.com\n", "headers": {"Content-Type": "text/csv"}}
        return {"json": changes} if changes else {}


@pytest.fixture
def reader(api: Api, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Return a reader with one contact that is due in one sequence, and a mailbox that can send all day."""
    for name, url in (("DATABASE_URL", api.database.owner), ("PIPELINE_DATABASE_URL", api.database.pipeline)):
        monkeypatch.setenv(name, url)
    sequence, mailbox = api.sequence(), api.mailbox(**WINDOW)
    api.made("/webhooks", {"url": "https://crm.example.com/hooks/sequences"})
    api.made(f"/sequences/{sequence['id']}/mailboxes", {"mailboxIds": [mailbox["id"]]})
    return Reader(api, sequence, api.enrolled(sequence), mailbox)


def planned() -> int:
    """Return how many mails a plan would send now."""
    made = CliRunner().invoke(cli, ["plan", "--dry-run", "--json"])
    assert made.exit_code == 0, made.output
    count: int = json.loads(made.stdout)["planned"]
    return count


UNDO: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "status": lambda _body: {"status": "active"},
    "isActive": lambda _body: {"isActive": True},
}


def test_each_request_of_pause_sending_stops_the_mail_and_is_undone_in_the_same_way(reader: Reader) -> None:
    requests = requests_of(section("Pause sending"))
    assert [request.path.count("{") for request in requests] == [2, 1, 1]
    assert planned() == 1
    for request in requests:
        reader.send(request)
        assert planned() == 0, request
        (field,) = json.loads(request.body)
        reader.send(request, **UNDO[field](json.loads(request.body)))
        assert planned() == 1, request


def test_mailbox_that_is_added_by_the_page_sends_in_the_next_plan(reader: Reader) -> None:
    create, assign = requests_of(section("Add a mailbox"))
    alone = reader.api.sequence()
    reader = Reader(reader.api, alone, reader.api.enrolled(alone), reader.mailbox)
    assert planned() == 1  # of the sequence that has a mailbox
    reader.mailbox = reader.send(create).json()
    assert planned() == 1, "the mailbox belongs to no sequence yet"
    reader.send(assign)
    assert planned() == 2


def test_raised_limit_gives_more_slots_with_the_next_plan(reader: Reader) -> None:
    (request,) = requests_of(section("Raise a limit"))
    for _ in range(4):
        reader.api.enrolled(reader.sequence)
    reader.send(request, sendLimit=2)
    assert planned() == 2
    reader.send(request)
    assert reader.api.get(f"/mailboxes/{reader.mailbox['id']}").json()["sendLimit"] == 80
    assert planned() == 5


@pytest.mark.parametrize("page", PAGES)
def test_every_request_of_a_page_is_accepted(reader: Reader, page: str) -> None:
    requests = requests_of((DOCS / page).read_text(encoding="utf-8"))
    assert requests
    order = ["POST", "GET", "PATCH", "DELETE"]  # what a request reads or changes exists before
    erasing = [request for request in requests if request.path.endswith("/erasure")]
    for request in sorted(set(requests) - set(erasing), key=lambda one: (order.index(one.method), one.path)):
        if not request.path.startswith("/u/"):  # a link of a mail; tests/crud_api/test_tracking.py opens it
            reader.send(request)
    for request in erasing:
        reader.send(request)
