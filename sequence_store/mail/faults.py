"""Judges whose fault a refusal is: replies of mail servers, returned mails and notifications of Amazon SES.

The rules are data (fault_rules.toml); the first one that matches decides. An address is suppressed only if
the reply says that the address is dead; policies, reputation, authentication, quotas, rates, sizes, outages
and routing are no evidence, however permanent their code.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from sequence_store.domain.states import AttemptReason, Counted, Fault, Parks


class Stage(StrEnum):
    """What the server replied to."""

    CONNECT = "connect"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


@dataclass(frozen=True)
class Verdict:
    """Whose fault a reply is. `permanent` is this verdict's, not the code's; `temporary`: the code is 4xx."""

    fault: Fault
    permanent: bool
    suppresses: bool
    parks: Parks
    why: str
    reason: AttemptReason
    counted: Counted | None
    temporary: bool

    @property
    def ends_enrolment(self) -> bool:
        """Return whether this one refusal is final for the recipient."""
        return self.fault is Fault.RECIPIENT and self.permanent

    @property
    def consequences(self) -> dict[str, object]:
        """Return what the SQL function `record_feedback` reads of a returned mail."""
        found: dict[str, object] = {
            "fault": self.fault.value,
            "reason": self.reason.value,
            "suppresses": self.suppresses,
            "parks": self.parks.value,
        }
        return {**found, "counted": self.counted.value} if self.counted else found


@dataclass(frozen=True)
class Rule:
    """One rule of the data file."""

    pattern: re.Pattern[str] | None
    stages: frozenset[Stage]
    code: re.Pattern[str] | None
    status: re.Pattern[str] | None
    fault: Fault
    permanent: bool
    suppresses: bool
    parks: Parks
    parks_relayed: Parks
    parks_temporary: bool
    counted: Counted | None
    reason: AttemptReason
    why: str
    source: str
    example: str

    def matches(self, stage: Stage, code: str, status: str, text: str) -> bool:
        return (
            stage in self.stages
            and (self.code is None or self.code.fullmatch(code) is not None)
            and (self.status is None or self.status.fullmatch(status) is not None)
            and (self.pattern is None or self.pattern.search(text) is not None)
        )


_LONGEST_TEXT = 2_000  # characters of a reply that are read
_CODE = re.compile(r"\s*([2-5][0-9][0-9])(?=[\s-]|$)")
_STATUS = re.compile(r"(?<![\d.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![\d.]\d)")
_LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
_LOCAL_PART = re.compile(r"[^\s<>()\[\]\"',;:@]{1,100}@(?=[\w\[])")
_SENDING = frozenset(Stage) - {Stage.CONNECT, Stage.AUTH}
_TEMPORARY, _PERMANENT = "4", "5"


def judge(stage: Stage | str, reply: str, *, relayed: bool = False) -> Verdict:
    """Judge a reply such as `550 5.1.1 No such user`; lines may be separated by line breaks.

    `relayed`: another server than the mailbox's own said it, as a returned mail quotes it. A reply that is no
    refusal, or that cannot be read, is a fault of the connection. Raise ValueError for an unknown stage.
    """
    stage = Stage(stage)
    rule = matching_rule(stage, reply)
    if rule is None:
        return unreadable()
    temporary = _class_of(reply) == _TEMPORARY
    parks = rule.parks_relayed if relayed else rule.parks
    if temporary and not rule.parks_temporary:
        parks = Parks.NO
    return Verdict(
        rule.fault,
        permanent=rule.permanent and not temporary,
        suppresses=rule.suppresses and not temporary,
        parks=parks,
        why=rule.why,
        reason=rule.reason,
        counted=None if temporary else rule.counted,
        temporary=temporary,
    )


def unreadable() -> Verdict:
    """Return the verdict on a reply that is not a refusal."""
    return Verdict(
        Fault.CONNECTION,
        permanent=False,
        suppresses=False,
        parks=Parks.NO,
        why="the reply is not a refusal that SMTP knows",
        reason=AttemptReason.UNREADABLE_ANSWER,
        counted=None,
        temporary=True,
    )


def matching_rule(stage: Stage, reply: str) -> Rule | None:
    """Return the rule that decides; None if the reply is not a refusal."""
    code, status, text = _parts(reply)
    kind = _class_of(reply)
    if kind not in {_TEMPORARY, _PERMANENT}:
        return None
    return next(rule for rule in rules() if rule.matches(stage, code or f"{kind}50", status, text))


_REPLY_TO = re.compile(
    r"in reply to (?:the )?(end of data|data|rcpt to|mail from|auth|initial)", re.IGNORECASE
)
_STAGE_OF = {
    "end of data": Stage.DOT,
    "data": Stage.DATA,
    "rcpt to": Stage.RCPT,
    "mail from": Stage.MAIL,
    "auth": Stage.MAIL,
    "initial": Stage.MAIL,
}
_QUOTED = re.compile(r"(?:\bsaid:|\breturned:|\bsmtp;|<<<)\s*([245]\d\d[\s-].*)", re.IGNORECASE | re.DOTALL)


def judge_returned(status: str | None, diagnostic: str | None) -> Verdict:
    """Judge what a returned mail (RFC 3464) or a notification says of its recipient.

    `status` is its Status field, `diagnostic` its Diagnostic-Code with or without the type (`smtp; `). If the
    diagnostic quotes a server's reply, the reply is judged in the stage that it names; else its words are,
    with the status as their code.
    """
    text = " ".join((diagnostic or "").split())
    quoted = _QUOTED.search(text) or re.match(r"(?:[\w-]+;\s*)?([245]\d\d[\s-].*)", text)
    stage = _STAGE_OF[found[1].lower()] if (found := _REPLY_TO.search(text)) else Stage.RCPT
    reply = quoted[1] if quoted else f"{status or ''} {text.partition(';')[2] or text}".strip()
    if not quoted and not _STATUS.match(reply) and not _CODE.match(reply):
        reply = f"4.0.0 {reply}"
    return judge(stage, reply, relayed=True)


def _parts(reply: str) -> tuple[str, str, str]:
    """Return the reply code, the enhanced code (each empty if missing) and the text to compare."""
    reply = reply[:_LONGEST_TEXT]
    code = found[1] if (found := _CODE.match(reply)) else ""
    if not code and not _STATUS.match(reply.lstrip()):
        return "", "", _comparable(reply)
    statuses = [s for s in _STATUS.findall(reply) if not code or s[0] == code[0]]
    named = [s for s in statuses if not s.endswith(".0.0")]
    return code, (named or statuses or [""])[0], _comparable(reply)


def _class_of(reply: str) -> str:
    """Return the first digit of the reply code, else of the enhanced code; empty if there is neither."""
    code, status, _ = _parts(reply)
    return code[:1] or status[:1]


def _comparable(text: str) -> str:
    """Return the text with plain blanks and apostrophes and without accents; its links stand behind it.

    The local parts of its addresses are `x`: `user-unknown@example.com` says nothing of a user.
    """
    links = " ".join(_LINK.findall(text))
    plain = _without_accents(f"{_LINK.sub(' ', text)} {links}").replace("\u2019", "'")
    return _LOCAL_PART.sub("x@", plain)


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


@cache
def rules() -> tuple[Rule, ...]:
    """Return the rules of the data file in their order."""
    return tuple(map(_rule, _document()["rule"]))


@cache
def sources() -> Mapping[str, str]:
    """Return the sources that rules name."""
    return dict(_document()["sources"])


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads((files("sequence_store.mail") / "fault_rules.toml").read_text(encoding="utf-8"))


def _rule(row: Mapping[str, Any]) -> Rule:
    words = row.get("pattern")
    parks = Parks(row.get("parks", Parks.NO))
    return Rule(
        pattern=re.compile(_without_accents("|".join(words)), re.IGNORECASE) if words else None,
        stages=frozenset(map(Stage, row["stage"])) if "stage" in row else _SENDING,
        code=re.compile(row["code"]) if "code" in row else None,
        status=re.compile(row["status"]) if "status" in row else None,
        fault=Fault(row["fault"]),
        permanent=row["permanent"],
        suppresses=row.get("suppresses", False),
        parks=parks,
        parks_relayed=Parks(row.get("parks_relayed", parks)),
        parks_temporary=row.get("parks_temporary", False),
        counted=Counted(row["counted"]) if "counted" in row else None,
        reason=AttemptReason(row["reason"]),
        why=row["why"],
        source=row["source"],
        example=row["example"],
    )
