"""Records the changes in a test's database with triggers, for the checker of invariants."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import psycopg

from sequence_pipelines.maintenance.invariants import (
    Accepted,
    Bounds,
    Event,
    Gate,
    Moved,
    Snapshot,
    Transition,
    Violation,
    check_invariants,
)
from sequence_pipelines.maintenance.verify import BEGINNING, Period, bounds_of, read_mailbox_days, read_sends
from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import EnrolmentStatus, SendReason, SendStatus
from sequence_store.mail.message_ids import keys_named_in
from sequence_store.settings import PipelineSettings
from tests.conftest import Mail

RECORDER = """
CREATE TABLE history (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz DEFAULT clock_timestamp(), what text, b jsonb, a jsonb);
GRANT INSERT ON history TO PUBLIC;
CREATE FUNCTION record_history() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
    INSERT INTO history (what, b, a)
    VALUES (TG_TABLE_NAME, CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END, to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE TRIGGER recorded AFTER INSERT OR UPDATE ON sends FOR EACH ROW EXECUTE FUNCTION record_history();
CREATE TRIGGER recorded AFTER UPDATE ON sequences_contacts FOR EACH ROW EXECUTE FUNCTION record_history();
CREATE TRIGGER recorded AFTER UPDATE OF is_active, deleted_at ON contacts
    FOR EACH ROW EXECUTE FUNCTION record_history();
CREATE TRIGGER recorded AFTER UPDATE OF is_active, deleted_at ON sequences
    FOR EACH ROW EXECUTE FUNCTION record_history();
CREATE TRIGGER recorded AFTER UPDATE OF is_active, deleted_at ON mailboxes
    FOR EACH ROW EXECUTE FUNCTION record_history();
CREATE TRIGGER recorded AFTER UPDATE OF deleted_at ON steps FOR EACH ROW EXECUTE FUNCTION record_history();
"""


def record_history(connection: psycopg.Connection[Any]) -> None:
    """Create the triggers; needs the owner's connection."""
    connection.execute(RECORDER)


def read_history(connection: psycopg.Connection[Any]) -> list[Event]:
    rows = connection.execute("SELECT at, what, b, a FROM history ORDER BY id").fetchall()
    return [event for row in rows for event in _events(*row)]


def _events(at: datetime, what: str, before: dict[str, Any] | None, after: dict[str, Any]) -> Iterable[Event]:
    if what == "sends":
        yield Transition(
            at=datetime.fromisoformat(after["transmitting_at"]) if _begins(before, after) else at,
            key=SendKey(after["sequence_id"], after["contact_id"], after["step_id"], after["round"]),
            before=SendStatus(before["status"]) if before else None,
            after=SendStatus(after["status"]),
            attempt_before=before["attempt"] if before else 1,
            attempt=after["attempt"],
            mailbox_id=after["mailbox_id"],
            send_at=datetime.fromisoformat(after["send_at"]),
            not_after=datetime.fromisoformat(after["not_after"]),
            advanced=before is not None and before["advanced_at"] != after["advanced_at"],
            restored=after["reason"] == SendReason.RESTORED,
        )
    elif what == "sequences_contacts":
        assert before
        ids = after["sequence_id"], after["contact_id"]
        yield Moved(at, *ids, before["round"], after["round"], before["current_step"], after["current_step"])
        if before["status"] != after["status"]:
            yield Gate(at, "enrolment", ids, shut=after["status"] != EnrolmentStatus.ACTIVE)
    else:
        shut = after["deleted_at"] is not None or not after.get("is_active", True)
        of = {"contacts": "contact", "sequences": "sequence", "mailboxes": "mailbox", "steps": "step"}[what]
        yield Gate(at, of, (after["id"],), shut=shut)  # type: ignore[arg-type]


def _begins(before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
    return bool(before) and after["status"] == SendStatus.TRANSMITTING and bool(after["transmitting_at"])


def accepted_by(mails: Iterable[Mail], settings: PipelineSettings) -> list[Accepted]:
    """Return the accepted mails with the send's key, which their Message-ID names."""
    secret, *_ = settings.message_id_keys
    return [Accepted(_key(mail.data, secret), mail.at) for mail in mails]


def _key(content: bytes, secret: bytes) -> SendKey:
    (line,) = (
        one for one in content.split(b"\r\n\r\n")[0].split(b"\r\n") if one.lower().startswith(b"message-id:")
    )
    return next(keys_named_in(line.decode().rstrip(">"), secret))


def find_violations(
    connection: psycopg.Connection[Any],
    settings: PipelineSettings,
    accepted: Iterable[Accepted] | None,
    *,
    now: datetime | None = None,
    bounds: Bounds | None = None,
    **database: Any,
) -> list[Violation]:
    """Check everything recorded since `record_history`; needs the owner's connection."""
    period = Period(BEGINNING, datetime(9999, 1, 1, tzinfo=UTC))
    with connection.transaction():
        snapshot = Snapshot(
            now=now or datetime.now(UTC),
            sends=list(read_sends(connection, period)),
            mailbox_days=read_mailbox_days(connection, period),
            bounds=bounds or bounds_of(settings),
            **database,
        )
        return list(check_invariants(read_history(connection), snapshot, accepted))
