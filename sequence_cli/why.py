"""Command `sequences why`: the history of a contact, and what its enrolments wait for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from sequence_cli.output import AsJson, plain_table, print_json
from sequence_store.domain.explanations import explain
from sequence_store.domain.states import ClosedGate, EnrolmentStatus, SendStatus

MOST_ROWS = 50


def why(
    address: Annotated[str, typer.Argument(help="The contact's mail address.")],
    as_json: AsJson = False,
) -> None:
    """Show a contact's enrolments, mails and events, what comes next, and what it waits for."""
    from psycopg.rows import dict_row

    from sequence_store.domain.addresses import address_or_text
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    with connect(settings.database_url, name="sequences why") as connection:
        cursor = connection.cursor(row_factory=dict_row)

        def rows(name: str, **values: Any) -> list[dict[str, Any]]:
            return cursor.execute(query("status", name), values).fetchall()

        address = address_or_text(address)
        found = rows("read_contact", address=address, pads=settings.address_pads)
        if not found:
            _fail_unknown(address, rows("read_suppression", address=address, pads=settings.address_pads))
        contact = found[0]
        key = {"contact_id": contact["id"]}
        enrolments = rows("read_enrolments_of_contact", **key)
        sends = rows("read_sends_of_contact", **key, limit=MOST_ROWS)
        events = rows("read_events_of_contact", **key, limit=MOST_ROWS)
        mails = cursor.execute(
            query("replies", "read_mails_of_contact"), {**key, "limit": MOST_ROWS}
        ).fetchall()
    today = settings.calendar.day_of(datetime.now(UTC))
    for enrolment in enrolments:
        enrolment["verdict"] = verdict(contact, enrolment, today)
    if as_json:
        document = {"contact": contact, "enrolments": enrolments, "sends": sends, "events": events}
        print_json({**document, "mails": mails})
        return
    _show(contact, enrolments, sends, events, mails)


def verdict(contact: dict[str, Any], enrolment: dict[str, Any], today: date) -> str:
    """Return in a sentence what comes next in an enrolment, or why nothing does."""
    return _under_way(enrolment) or _stopped(contact, enrolment) or _to_come(enrolment, today)


def _under_way(enrolment: dict[str, Any]) -> str | None:
    row = enrolment["send_status"]
    if row in {SendStatus.PLANNED, SendStatus.DISPATCHED}:
        step, sender = enrolment["send_step"], enrolment["sender"]
        return f"step {step} will be sent at {_at(enrolment['send_at'])} from {sender}"
    if row in {SendStatus.CLAIMED, SendStatus.TRANSMITTING}:
        return f"step {enrolment['send_step']} is being sent now"
    if row == SendStatus.UNKNOWN:
        key = f"{enrolment['contact_id']} {enrolment['step_id']} {enrolment['round']}"
        return (
            f"the outcome of step {enrolment['send_step']} is unknown; settle it with "
            f"`sequences sends resolve {key} --as sent|retry`"
        )
    if row is not None:
        return f"step {enrolment['send_step']} has ended ({row}); the results job will advance the contact"
    return None


def _stopped(contact: dict[str, Any], enrolment: dict[str, Any]) -> str | None:  # noqa: PLR0911
    status = enrolment["status"]
    if status == EnrolmentStatus.PAUSED:
        reason = f" ({enrolment['status_reason']})" if enrolment["status_reason"] else ""
        return f"paused{reason}: set its status to `active` in the API to resume it"
    if status != EnrolmentStatus.ACTIVE:
        return f"ended: {status}" + (f" ({enrolment['status_reason']})" if enrolment["status_reason"] else "")
    if contact["deleted_at"] or not contact["is_active"]:
        return explain(ClosedGate.CONTACT_INACTIVE)
    if contact["suppressed"]:
        return f"the address is suppressed: {_suppression(contact)}"
    if contact["stopped_at"]:
        return explain(ClosedGate.OPT_OUT_UNVERIFIED)
    if not enrolment["sequence_active"]:
        return explain(ClosedGate.SEQUENCE_INACTIVE)
    return None


def _to_come(enrolment: dict[str, Any], today: date) -> str:
    if enrolment["due_step"] is None:
        return "no step is left: the next plan completes the enrolment"
    step, due = enrolment["due_step"], enrolment["next_send"]
    if due is None:
        return f"step {step} has no due day yet"
    if due > today:
        return f"step {step} is due on {due}"
    if enrolment["waits"]:
        return f"step {step} has waited since {due}: {enrolment['waits']}: {explain(enrolment['waits'])}"
    return f"step {step} has been due since {due}; the next plan takes it up (`sequences plan` makes one now)"


def _suppression(contact: dict[str, Any]) -> str:
    until = f" until {_at(contact['suppressed_until'])}" if contact["suppressed_until"] else ""
    return f"{contact['suppressed']}, {_at(contact['suppressed_at'])}{until}"


def _fail_unknown(address: str, suppressions: list[dict[str, Any]]) -> None:
    for row in suppressions:
        until = f" until {_at(row['until'])}" if row["until"] else ""
        typer.echo(f"{address} is suppressed: {row['reason']}, {_at(row['at'])}{until}.", err=True)
    typer.echo(f"No contact has the address {address}.", err=True)
    raise typer.Exit(1)


def _show(
    contact: dict[str, Any],
    enrolments: list[dict[str, Any]],
    sends: list[dict[str, Any]],
    events: list[dict[str, Any]],
    received: list[dict[str, Any]],
) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    state = "deleted" if contact["deleted_at"] else "active" if contact["is_active"] else "switched off"
    console.print(
        f"[bold]{contact['mail_address']}[/]  {contact['name']}  ({state}, id {contact['id']})",
        soft_wrap=True,
    )
    if contact["suppressed"]:
        console.print(f"[red]suppressed[/]: {_suppression(contact)}")
    if contact["replied_at"]:
        console.print(f"[yellow]replied[/]: {_at(contact['replied_at'])}")
    if contact["stopped_at"]:
        console.print(f"[red]stopped[/]: {contact['stopped_reason']}, {_at(contact['stopped_at'])}")
    if contact["hold_until"]:
        console.print(
            f"[yellow]held[/]: {contact['hold_reason']}, {contact['hold_from']} to {contact['hold_until']}"
        )
    if not enrolments:
        console.print("The contact is enrolled in no sequence.")
    for row in enrolments:
        console.print(
            f"\n[bold]{row['sequence']}[/]  {row['status']}, round {row['round']}, step {row['current_step']}"
        )
        last = f"; last mailed {row['last_send']}" if row["last_send"] else ""
        console.print(f"  → {row['verdict']}{last}", soft_wrap=True)
    columns = ("at (UTC)", "sequence", "step", "mailbox", "state", "reason", "code")
    mails = [
        (
            _at(s["finished_at"] or s["send_at"]),
            s["sequence"],
            s["step"],
            s["mailbox"],
            s["status"],
            s["reason"],
            s["smtp_code"],
        )
        for s in sends
    ]
    _table(console, "Mails", columns, mails)
    happened = [
        (
            _at(e["at"]),
            e["kind"],
            e["sequence"],
            e["step"],
            ", ".join(f"{k} {v}" for k, v in e["detail"].items() if v is not None),
        )
        for e in events
    ]
    answers = [
        (_at(m["at"]), m["kind"], m["verdict"], m["sequence"], m["folder"], m["until"], m["why"])
        for m in received
    ]
    headings = ("at (UTC)", "what", "followed", "sequence", "folder", "until", "why")
    _table(console, "Mails received", headings, answers)
    _table(console, "Events", ("at (UTC)", "what", "sequence", "step", "detail"), happened)


def _table(console: Any, title: str, headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    table = plain_table(f"\n{title}")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table)


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"
