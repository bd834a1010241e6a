"""Creates, plans, awaits and verifies one day's mails through the services of a Compose project.

`deploy/test.sh` runs it in the project's network with one of the commands enter, plan, wait and account.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import psycopg

from sequence_cli.dagster_runs import DagsterRuns
from sequence_store.postgres.connection import connect
from sequence_store.settings import OwnerSettings, read_settings

API, DAGSTER, SINK = "http://api:8000", "http://webserver:3000", "http://mail-sink:8025"
MAILBOXES = 6
LIVE = ("planned", "dispatched", "claimed", "transmitting")


def call(url: str, body: bytes | None = None, content_type: str = "application/json") -> Any:
    """Send a GET request, or a POST request if there is a body, and return the JSON of the response."""
    request = urllib.request.Request(url, body, {"Content-Type": content_type})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {error.code} {error.read().decode()}") from None


def post(path: str, **body: Any) -> Any:
    return call(API + path, json.dumps(body).encode())


def enter(contacts: int) -> None:
    """Create mailboxes, a sequence of two steps and its contacts through the API."""
    window = {"sendStartTime": "00:00", "sendEndTime": "00:00", "sendLimit": 100_000}
    mailboxes = [
        post("/mailboxes", address=f"sender{n}@example.com", **window)["id"] for n in range(MAILBOXES)
    ]
    steps = [
        {"stepNumber": n, "mailSubject": f"Step {n}", "mailContent": "<p>Hello {{ contact.name }}</p>",
         "delayDays": 3 * (n - 1)}
        for n in (1, 2)
    ]  # fmt: skip
    sequence = post("/sequences", name="Compose", steps=steps)["id"]
    post(f"/sequences/{sequence}/mailboxes", mailboxIds=mailboxes)
    lines = "\n".join(f"Contact {n},contact{n}@example.net" for n in range(contacts))
    url = f"{API}/contacts/imports?sequenceId={sequence}"
    imported = call(url, f"name,mailAddress\n{lines}\n".encode(), "text/csv")
    print(f"created {MAILBOXES} mailboxes and a sequence of 2 steps; imported {imported}")


def plan(settings: OwnerSettings) -> None:
    """Launch today's plan in Dagster and wait until it has finished."""
    day = settings.calendar.day_of(datetime.now(UTC)).isoformat()
    runs, began = DagsterRuns(DAGSTER), time.monotonic()
    for _ in runs.follow(runs.launch("daily_plan", day), seconds=300):
        pass
    print(f"planned {day} in {time.monotonic() - began:.1f} s: {counts(settings)}")


def counts(settings: OwnerSettings) -> dict[str, int]:
    with connect(settings.database_url, name="deploy_test") as connection:
        rows = connection.execute("SELECT status, count(*) FROM sends GROUP BY 1 ORDER BY 1").fetchall()
    return dict(rows)


def wait(settings: OwnerSettings, seconds: float) -> None:
    """Wait until no send is live and every sent one has advanced its contact."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with connect(settings.database_url, name="deploy_test") as connection:
                row = connection.execute(
                    "SELECT count(*) FILTER (WHERE status = ANY(%s)), "
                    "count(*) FILTER (WHERE status = 'sent' AND advanced_at IS NULL) FROM sends",
                    [list(LIVE)],
                ).fetchone()
        except psycopg.OperationalError:
            row = None
        if row == (0, 0):
            break
        time.sleep(2)
    print(f"after the day: {counts(settings)}")


def account(settings: OwnerSettings, contacts: int) -> int:
    """Compare database and sink; return 1 if a contact was not mailed exactly once or did not advance."""
    mails = Counter(mail["rcpt_to"][0].lower() for mail in call(f"{SINK}/api/messages"))
    with connect(settings.database_url, name="deploy_test") as connection:
        sent = {
            address
            for (address,) in connection.execute(
                "SELECT lower(c.mail_address) FROM sends s JOIN contacts c ON c.id = s.contact_id "
                "WHERE s.status = 'sent'"
            )
        }
        row = connection.execute(
            "SELECT count(*) FROM sequences_contacts WHERE current_step = 2 AND next_send = last_send + 3"
        ).fetchone()
        late = connection.execute(
            "SELECT max(extract(epoch FROM finished_at - send_at)) FROM sends WHERE status = 'sent'"
        ).fetchone()
    advanced = row[0] if row else 0
    latest = float(late[0]) if late and late[0] is not None else 0.0
    twice = {address: n for address, n in mails.items() if n > 1}
    print(
        f"database: {len(sent)} sent, {advanced} advanced to step 2; sink: {sum(mails.values())} mails to "
        f"{len(mails)} contacts; the latest left {latest:.1f} s after its planned time"
    )
    faults = [
        *(f"mailed {n} times: {address}" for address, n in twice.items()),
        *(f"sent, but not in the sink: {address}" for address in sorted(sent - mails.keys())[:5]),
        *(f"in the sink, but not sent: {address}" for address in sorted(mails.keys() - sent)[:5]),
    ]
    if len(sent) != contacts or advanced != contacts:
        faults.append(f"expected {contacts} contacts to be mailed and advanced")
    for fault in faults:
        print(f"WRONG {fault}")
    return 1 if faults else 0


def main() -> int:
    settings = read_settings(OwnerSettings)
    contacts = int(os.environ["CONTACTS"])
    match sys.argv[1]:
        case "enter":
            enter(contacts)
        case "plan":
            plan(settings)
        case "wait":
            wait(settings, float(sys.argv[2]))
        case "account":
            return account(settings, contacts)
        case _:
            raise SystemExit("Give one of the commands: enter, plan, wait SECONDS, account.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
