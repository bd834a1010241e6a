"""Simulates API users: imports, pauses, resumes, unsubscribes by a mail's link, and reads."""

from __future__ import annotations

import random
import threading
from collections import Counter

import httpx

from tests.soak.servers import Servers
from tests.soak.work import AWAY

ROWS = 15


class Traffic:
    """Makes one API request at a time; a failure while Postgres is unavailable is counted, not retried."""

    def __init__(self, servers: Servers, choice: random.Random) -> None:
        self._servers = servers
        self._random = choice
        self._ended = threading.Event()
        self._client = httpx.Client(base_url=servers.url(""), timeout=20)
        self._imported = 0
        self.done: Counter[str] = Counter()

    def end(self) -> None:
        self._ended.set()

    def request(self) -> None:
        if self._ended.is_set():
            return
        kinds = {self._import: 3, self._pause_or_resume: 4, self._unsubscribe: 2, self._look: 4}
        action = self._random.choices(list(kinds), list(kinds.values()))[0]
        try:
            response = action()
        except (httpx.TransportError, *AWAY):
            self.done["no response"] += 1
            return
        if response is not None:
            self.done[f"{action.__name__[1:].replace('_', ' ')}: {response.status_code}"] += 1

    def _import(self) -> httpx.Response:
        sequence = self._random.choice(self._sequences())
        self._imported += 1
        rows = [f"Ann,ann{self._imported}x{n}@people.example" for n in range(ROWS)]
        content = "\n".join(["name,mailAddress", *rows])
        return self._client.post("/contacts/imports", content=content, params={"sequenceId": sequence})

    def _pause_or_resume(self) -> httpx.Response | None:
        with self._servers.connect() as connection:
            row = connection.execute(
                "SELECT q.external_id, c.external_id, e.status FROM sequences_contacts e "
                "JOIN sequences q ON q.id = e.sequence_id JOIN contacts c ON c.id = e.contact_id "
                "WHERE e.status IN ('active', 'paused') ORDER BY e.status DESC, random() LIMIT 1"
                if self._random.random() < 0.5
                else "SELECT q.external_id, c.external_id, e.status FROM sequences_contacts e "
                "JOIN sequences q ON q.id = e.sequence_id JOIN contacts c ON c.id = e.contact_id "
                "WHERE e.status = 'active' ORDER BY random() LIMIT 1"
            ).fetchone()
        if row is None:
            return None
        sequence, contact, status = row
        return self._client.patch(
            f"/sequences/{sequence}/contacts/{contact}",
            json={"status": "paused" if status == "active" else "active"},
        )

    def _unsubscribe(self) -> httpx.Response | None:
        mails = self._servers.smtp.mails
        if not mails:
            return None
        content = self._random.choice(mails[-200:]).decode("ascii", "replace")
        header = content.partition("List-Unsubscribe:")[2].partition(">")[0].partition("<")[2]
        return self._client.post("".join(header.split()), data={"List-Unsubscribe": "One-Click"})

    def _look(self) -> httpx.Response:
        path = self._random.choice(["/contacts?size=20", "/mailboxes", "/sequences", "/metrics"])
        return self._client.get(path)

    def _sequences(self) -> list[str]:
        with self._servers.connect() as connection:
            return [str(row[0]) for row in connection.execute("SELECT external_id FROM sequences").fetchall()]
