"""Stored words: SQL uses only words that the enums define, and the pages explain them as the code does."""

from __future__ import annotations

import ast
import re
from enum import StrEnum
from pathlib import Path

import pytest

from sequence_store.domain import states
from sequence_store.domain.explanations import EXPLANATIONS, explain, explanation_of
from sequence_store.domain.feed_kinds import FEED_NAMES
from sequence_store.domain.states import (
    AttemptReason,
    ClosedGate,
    Deferral,
    EnrolmentReason,
    EnrolmentStatus,
    EventKind,
    FeedbackKind,
    ReputationReason,
    SendReason,
    SendStatus,
    SuppressionReason,
)
from sequence_store.mail.faults import rules
from step_mailing_worker.store import ClaimVerdict, GateVerdict

ROOT = Path(__file__).parents[2]
SQL = sorted(
    [*(ROOT / "migrations").glob("**/*.sql"), *(ROOT / "sequence_store" / "postgres" / "sql").glob("*.sql")]
)
EXPLAINED: tuple[type[StrEnum], ...] = (
    SendStatus,
    EnrolmentStatus,
    Deferral,
    ClosedGate,
    SendReason,
    AttemptReason,
    ReputationReason,
    EnrolmentReason,
    SuppressionReason,
    FeedbackKind,
    EventKind,
)
STORED = {
    str(word)
    for kind in vars(states).values()
    if isinstance(kind, type) and issubclass(kind, StrEnum)
    for word in kind
}
RETURNED = {*map(str, (*ClaimVerdict, *GateVerdict)), "recorded", "known"}
PARTS = {"enrolment_", " rate"}  # SQL joins them with a status or a FeedbackKind
ALSO_IN_SQL = {
    # tables, columns and roles
    *("contacts", "sequences", "steps", "mailboxes", "suppressions", "id", "feed"),
    *("sequence_api", "sequence_pipeline", "sequence_worker", "sequence_readonly", "step_mailing_worker"),
    # keys of JSON documents and their values
    *("as", "retry", "attempt", "code", "enhanced_code", "fault", "link", "mailbox_id", "reason", "until"),
    *("suppresses", "parks", "counted", "by", "was", "address_hmac"),
    # names of events in the feed, what a roll-up counts, how a mail came back
    *(*FEED_NAMES.values(), "day", "month", "step", "mailbox", "sequence_mailbox", "hard", "soft"),
    *("step_month", "mailbox_month", "sequence_mailbox_month"),
    # keys of events, texts of events and comments
    *("contact_id", "sequence_id", "round", "webhook_id", "sent and unknown"),
    *("the receiver is gone", "failed for three days"),
    # constraints of settings
    *("none", "starttls", "tls", "object"),
    # Postgres
    *("epoch", "off", "idle_in_transaction_session_timeout", "statement_timeout", "synchronous_commit"),
    *("work_mem", "check_violation", "public", "pg_temp", "hex", "infinity"),
    # texts of the API: the state of a key, the report of an import, the summary of the sample data
    *("revoked", "valid", "is inactive", "is or was in the sequence already"),
    *("due later", "due today", "overdue", "replied"),
    # a mail's document, the bounds of its recording, and the parts of what followed
    *("detail", "folder", "fresh", "identity", "kind", "left", "mail", "matched", "received_at", "send"),
    *("sender", "uid", "why", "away_days", "company_most", "match_days", "park_seconds", "hex", "UTC"),
    *("stopped_", "stopped_contact_", "not_named", "no_domain", "free_mail", "own_domain"),
    *("too_many_contacts", "api", "cli", "by", "fallback", "reach", "source", "resumed", "not_stopped"),
    *("no_step_left",),
}


def words_in(sql: str) -> set[str]:
    """Return the literals of an SQL file that look like words, without comments and error messages."""
    code = re.sub(r"--.*", "", sql)
    code = re.sub(r"RAISE EXCEPTION\s+'(?:[^']|'')*'", "", code)
    literals = re.findall(r"'((?:[^']|'')*)'", code)
    return {literal for literal in literals if re.fullmatch(r" ?[a-z][a-z_ ]*", literal)}


def table_of(words: type[StrEnum]) -> list[str]:
    """Return the rows that a page must have for these words."""
    return [f"| `{word}` | {explain_cells(word)} |" for word in words]


def explain_cells(word: str) -> str:
    meaning, action = EXPLANATIONS[word]
    return f"{meaning} | {action}".rstrip()


def rows_of(page: str) -> list[str]:
    """Return the rows of a page; a reference at the end of a row (`See [title](#anchor).`) is left out."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [re.sub(r" See \[[^\]]+\]\([^)]+\)\. \|$", " |", line) for line in text.splitlines()]


@pytest.mark.parametrize("file", SQL, ids=lambda file: str(file.relative_to(ROOT)))
def test_sql_uses_no_word_that_the_enums_lack(file: Path) -> None:
    found = words_in(file.read_text(encoding="utf-8"))
    unknown = found - STORED - RETURNED - PARTS - ALSO_IN_SQL
    assert not unknown, f"define them in sequence_store/domain/states.py or list them in this test: {unknown}"


def test_every_gate_of_an_enrolment_is_a_word() -> None:
    ended = [status for status in EnrolmentStatus if status is not EnrolmentStatus.ACTIVE]
    gates = [ClosedGate.of_enrolment(status) for status in ended]
    assert gates == [gate for gate in ClosedGate if gate.startswith("enrolment_")]


def test_every_rate_is_a_word() -> None:
    assert f"{FeedbackKind.BOUNCE} rate" == ReputationReason.BOUNCE_RATE
    assert f"{FeedbackKind.COMPLAINT} rate" == ReputationReason.COMPLAINT_RATE


def test_every_word_is_explained_and_nothing_else() -> None:
    assert set(EXPLANATIONS) == {str(word) for kind in EXPLAINED for word in kind}


def test_details_and_phases_are_explained_as_their_word() -> None:
    assert explain("token_refused: invalid_grant") == explain(AttemptReason.TOKEN_REFUSED)
    assert explain("connection_lost_dot") == explain(AttemptReason.CONNECTION_LOST)
    assert explain("timeout_rcpt") == explain(AttemptReason.TIMEOUT)


@pytest.mark.parametrize("text", ["", "asked by phone", ":", "timeout", "5.1.1", "x" * 10_000])
def test_any_text_gets_an_explanation(text: str) -> None:
    assert explain(text)
    assert explanation_of(text).meaning


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("runbook.md", Deferral),
        ("states.md", ClosedGate),
        ("states.md", SendReason),
        ("states.md", AttemptReason),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_page_explains_the_words_as_the_code_does(page: str, words: type[StrEnum]) -> None:
    wanted = table_of(words)
    shown = rows_of(page)
    missing = [row for row in wanted if row not in shown]
    assert not missing, "\n".join(["these rows are missing or differ:", *missing])


def test_runbook_explains_the_reasons_of_a_parked_mailbox() -> None:
    parks = [reason for reason in ReputationReason if reason is not ReputationReason.MESSAGE_FAULTS]
    shown = rows_of("runbook.md")
    assert all(f"| `{reason}` | {explain_cells(reason)} |" in shown for reason in parks)


def test_states_import_nothing_of_the_product() -> None:
    tree = ast.parse(Path(states.__file__).read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    assert imported == {"__future__", "enum"}


def test_every_word_is_used_by_sql_by_python_or_by_a_rule() -> None:
    sql = set().union(*(words_in(file.read_text(encoding="utf-8")) for file in SQL))
    packages = ("crud_api", "sequence_cli", "sequence_pipelines", "sequence_store", "step_mailing_worker")
    python = "\n".join(
        file.read_text(encoding="utf-8")
        for package in packages
        for file in (ROOT / package).rglob("*.py")
        if file.name not in {"states.py", "explanations.py"}
    )
    made: set[StrEnum] = {rule.reason for rule in rules()}
    made |= {gate for gate in ClosedGate if gate.startswith("enrolment_")}
    made |= {ReputationReason.BOUNCE_RATE, ReputationReason.COMPLAINT_RATE}
    unused = [
        f"{kind.__name__}.{word.name}"
        for kind in EXPLAINED
        for word in kind
        if word not in made
        and word not in sql
        and not re.search(rf"\b{kind.__name__}\.{word.name}\b", python)
    ]
    assert not unused
