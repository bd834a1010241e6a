"""Reads the reports of mail servers: bounces (RFC 3464 and servers that follow no standard) and complaints.

A bounce is judged by what it says of its recipient: the fields of its delivery status, or the text above the
returned mail. Whose fault a refusal is, one table decides: `sequence_store.mail.faults`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from sequence_store.mail.faults import Verdict, judge_returned
from step_mailing_worker.inbound_mail.own_text import unaccented
from step_mailing_worker.inbound_mail.reading import Part, address_in, decoded_header

_STATUS_TYPES = frozenset(
    {
        *("message/delivery-status", "message/global-delivery-status"),
        *("message/xdelivery-status", "message/x-delivery-status"),
    }
)
_RETURNED_TYPES = frozenset(
    {
        *("message/rfc822", "message/global", "message/partial"),
        *("text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers", "message/global-headers"),
    }
)
LEAST_ABOVE = 40  # characters of a notice above the mail that it returns
LEAST_FIELDS = 3  # header fields in a text that make it a returned mail
LEAST_LETTERS = 8  # of a diagnostic code that says something in words
LEAST_WORDS = 6  # letters of a reason
LONGEST_NOTICE = 8_000  # characters above the returned mail


@dataclass(frozen=True)
class Report:
    """What a server's report says: its action (RFC 3464), and the refusal that it quotes."""

    action: str
    status: str | None
    diagnostic: str | None

    @property
    def verdict(self) -> Verdict:
        return judge_returned(self.status, self.diagnostic)


def feedback_type(mail: Part) -> str | None:
    """Return the type of an abuse report (RFC 5965), such as `abuse`; None if the mail is none.

    Microsoft's Junk Mail Reporting Program sends the mail without a report; it counts as `abuse`.
    """
    parts = list(mail.walk(into_mails=False))
    for part in parts:
        if part.content_type == "message/feedback-report":
            found = re.search(r"^feedback-type:\s*([\w-]+)", _text(part), re.IGNORECASE | re.MULTILINE)
            return found[1].lower() if found else "unknown"
    attached = [part for part in parts if part.content_type in _RETURNED_TYPES]
    if attached and _is_jmrp(mail, attached[0]):
        return "abuse"
    if mail.parameters.get("report-type", "").lower() == "feedback-report":
        return "unknown"
    return None


def _is_jmrp(mail: Part, attached: Part) -> bool:
    sender = address_in(mail.text_of("from"))
    if sender in {"staff@hotmail.com", "staff@outlook.com", "jmrp@hotmail.com", "jmrp@outlook.com"}:
        return (
            "complaint" in mail.text_of("subject").lower()
            or "x-hmxmroriginalrecipient" in _text(attached).lower()
        )
    return "x-hmxmroriginalrecipient" in _text(attached)[:20_000].lower()


def is_receipt(mail: Part) -> bool:
    """Return whether the mail is a receipt (RFC 8098): `read`, or `deleted without being read`."""
    if _DAEMON.search(mail.text_of("from")):
        return False  # Dovecot's delivery agent rejects mails with a receipt
    stated = mail.parameters.get("report-type", "").lower()
    return stated == "disposition-notification" or any(
        part.content_type in {"message/disposition-notification", "message/global-disposition-notification"}
        for part in mail.walk(into_mails=False)
    )


def report_of(mail: Part) -> Report | None:
    """Return what a bounce says; None if the mail is no bounce."""
    parts = list(mail.walk(into_mails=False))
    status_part = next((part for part in parts if part.content_type in _STATUS_TYPES), None)
    if status_part is not None:
        return _standard(mail, parts, _text(status_part))
    stated = mail.parameters.get("report-type", "").lower()
    if stated == "delivery-status" and (wrapped := _wrapped_report(parts)):
        return report_of(wrapped)
    if mail.content_type == "multipart/report" and stated in {"delivery-status", ""}:
        return _unstandard(mail, parts)
    if is_from_a_server(mail, parts):
        return _unstandard(mail, parts)
    return None


def _wrapped_report(parts: list[Part]) -> Part | None:
    """Return the report that a virus scanner has put, as an attached mail, into a mail of its own."""
    attached = (child for part in parts if part.content_type == "message/rfc822" for child in part.children)
    return next((mail for mail in attached if mail.content_type == "multipart/report"), None)


# --- Standard reports ---

_FIELD = re.compile(r"^([A-Za-z0-9-]+)[ \t]*:[ \t]*(.*(?:\n[ \t]+.*)*)", re.MULTILINE)
_CODE = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])")


def _standard(mail: Part, parts: list[Part], text: str) -> Report:
    """Read the fields of the recipients; a failed one decides, then a delayed one."""
    groups = [_fields_of(group) for group in re.split(r"\n[ \t]*\n", text)]
    recipients = [group for group in groups if "status" in group or "final-recipient" in group] or [
        group for group in groups if "action" in group
    ]
    if not recipients:
        return _unstandard(mail, parts)
    failed = [group for group in recipients if group.get("action", "failed").startswith("fail")]
    delayed = [group for group in recipients if group.get("action", "").startswith("delay")]
    chosen = (failed or delayed or recipients)[0]
    action = re.match(r"\w+", chosen.get("action", "failed") or "failed")
    found = _CODE.search(chosen.get("status", ""))
    status = found[0] if found else None
    if not found and (plain := re.match(r"\s*([245])\d\d\b", chosen.get("status", ""))):
        status = f"{plain[1]}.0.0"
    elif not found and chosen in failed:
        status = "5.0.0"
    if "remote-mta" in chosen and "mailbox unavailable" in chosen.get("diagnostic-code", "").lower():
        # Only some servers say this of an address that does not exist; the reply does not name the server.
        chosen["diagnostic-code"] += f" (host {chosen['remote-mta']})"
    names = ("diagnostic-code", "x-supplementary-info", "x400-supplementary-info")
    diagnostic = " ".join(chosen[name] for name in names if name in chosen)
    notice = _notice(mail, parts)
    if len(re.sub(r"^[\w-]+\s*;|[\d.\s;:-]+", "", diagnostic)) < LEAST_LETTERS:
        said = _reason_in(notice)
        diagnostic = f"{diagnostic} {said}" if diagnostic else f"smtp; {said}" if said else ""
    diagnostic = _with_stage(diagnostic, notice)
    return Report((action[0] if action else "failed").lower(), status, diagnostic or None)


def _fields_of(group: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(group):
        fields.setdefault(name.lower(), decoded_header(" ".join(value.split())))
    fields["action"] = fields["action"].lower() if "action" in fields else ""
    return {name: value for name, value in fields.items() if value}


# --- Reports of servers that follow no standard ---

# --- The lists of returned_mails.toml; `^` and groups that a list needs stand here ---

_WORDS: dict[str, list[str]] = tomllib.loads(
    (files("step_mailing_worker.inbound_mail") / "returned_mails.toml").read_text(encoding="utf-8")
)


def _any(name: str) -> str:
    return "|".join(_WORDS[name])


_SERVER = re.compile(rf"(?:^|[\"'<\s(])({_any('servers')})(@|>|\s|$)|{_any('server_names')}", re.IGNORECASE)
_DAEMON = re.compile(_any("daemons"), re.IGNORECASE)
_POSTMASTER = re.compile(
    rf"(?:^|[<\s\"'])({_any('postmasters')})([-+=.\\\\][^@]*)?@|{_any('postmaster_names')}", re.IGNORECASE
)
_SUBJECT = re.compile(rf"^(?:\W*(?:spam|bulk|ext|external|warning)\W+)?({_any('subjects')})", re.IGNORECASE)
_SUBJECT_END = re.compile(r"(: non remis|\(delivery (failed|failure)\))( \(.*\))?$")
_SAYS_BOUNCE = re.compile(_any("reasons"), re.IGNORECASE)


def is_from_a_server(mail: Part, parts: list[Part]) -> bool:  # noqa: PLR0911  (one rule after the other)
    """Return whether a mail that is no standard report is a bounce, by its sender, subject and text."""
    if mail.raw("x-failed-recipients") or _DAEMON.search(mail.text_of("from")):
        return True
    sender = f"{mail.text_of('from')} {mail.text_of('sender')}"
    subject = unaccented(mail.text_of("subject"))
    is_bounce_subject = _SUBJECT.search(subject) is not None
    empty_path = re.fullmatch(r"<\s*>", mail.raw("return-path").strip()) is not None
    if _SUBJECT_END.search(subject) and not mail.raw("in-reply-to"):
        return _SAYS_BOUNCE.search(_notice(mail, parts)[:600]) is not None
    if re.match(r"(re|aw|sv|antw|fwd?|wg)\s*:", subject) and not _SERVER.search(sender):
        return False
    if _SERVER.search(sender) or (address_in(sender) == "" and is_bounce_subject):
        return is_bounce_subject or _SAYS_BOUNCE.search(_notice(mail, parts)) is not None or empty_path
    if is_bounce_subject and (empty_path or _POSTMASTER.search(sender)):
        return True
    if _POSTMASTER.search(sender) or empty_path:
        machine = bool(mail.raw("auto-submitted")) or empty_path or mail.content_type == "multipart/report"
        return (
            machine
            and _SAYS_BOUNCE.search(_notice(mail, parts)[:3000]) is not None
            and not is_reply_like(mail)
        )
    return (
        is_bounce_subject
        and _SAYS_BOUNCE.search(_notice(mail, parts)) is not None
        and _returns_a_mail(mail, parts)
    )


def is_reply_like(mail: Part) -> bool:
    return bool(re.match(r"(re|aw|sv|antw)\s*:", unaccented(mail.text_of("subject"))))


def _returns_a_mail(mail: Part, parts: list[Part]) -> bool:
    """Return whether a mail contains another one: attached, or its header fields in the text."""
    if any(part.content_type in _RETURNED_TYPES for part in parts[1:]):
        return True
    text = (
        mail.text
        if mail.content_type.startswith("text/")
        else "\n".join(part.text for part in parts if part.content_type == "text/plain")
    )
    named = re.findall(
        r"^\s*(?:received|message-id|from|to|subject|date|return-path)\s*:",
        text,
        re.IGNORECASE | re.MULTILINE,
    )
    return len(named) >= LEAST_FIELDS


def _unstandard(mail: Part, parts: list[Part]) -> Report:
    notice = _notice(mail, parts)
    said = _reason_in(notice)
    action = (
        "delayed" if _DELAYED.search(unaccented(f"{mail.text_of('subject')}\n{notice[:2500]}")) else "failed"
    )
    found = re.search(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.])", said)
    code = re.search(r"(?<![\d.])([45])\d\d[ -]", said)
    status = found[1] if found else f"{code[1]}.0.0" if code else "5.0.0"
    return Report(action, status, _with_stage(f"smtp; {said}", notice) if said else None)


_AT_SENDER = re.compile(
    r"(?:after (?:pipelined )?|in reply to (?:the )?)MAIL FROM\b|but sender was rejected"
    r"|>>> ?MAIL FROM:[^\n]*\n[ \t]*<<< ?5",
    re.IGNORECASE,
)
_AT_RECIPIENT = re.compile(
    r"(?:after (?:pipelined )?|in reply to (?:the )?|>>> ?)RCPT TO\b|not like recipient", re.IGNORECASE
)


def _with_stage(diagnostic: str, notice: str) -> str:
    """Return the diagnostic with the stage, if the notice says that the server refused the sender.

    `User unknown` is then said of the sender. The diagnostic itself seldom names the stage.
    """
    known = not diagnostic or "in reply to" in diagnostic
    if not known and _AT_SENDER.search(notice) and not _AT_RECIPIENT.search(notice):
        return f"{diagnostic} (in reply to MAIL FROM command)"
    return diagnostic


_DELAYED = re.compile(_any("delays"))
_GAVE_UP = re.compile(_any("endings"))

# Where the returned mail begins, in mails that are one text.
_BELOW = re.compile(
    rf"^[ \t]*(?:[-=*_#>|]{{2,}}[ \t]*(?:{_any('rules')})[^\n]*|(?:{_any('beginnings')})[^\n]*)$",
    re.IGNORECASE | re.MULTILINE,
)


def _notice(mail: Part, parts: list[Part]) -> str:
    """Return the text of a report above the mail that it returns."""
    texts = []
    for part in parts:
        if part.level and part.content_type in _RETURNED_TYPES | _STATUS_TYPES:
            break
        if part.content_type in {"text/plain", "text/html"} and part.text.strip():
            cut = _cut_at_original(part.text)
            texts.append(cut)
            if part is not mail and len(cut) < len(part.text) - 20 or len(texts) > 2:  # noqa: PLR2004, RUF021
                break
    return "\n".join(texts)[:LONGEST_NOTICE]


def _cut_at_original(text: str) -> str:
    found = _BELOW.search(text)
    while found is not None and len(text[: found.start()].strip()) < LEAST_ABOVE:
        found = _BELOW.search(text, found.end())
    return text if found is None else text[: found.start()]


# What a server says of the recipient, most specific first: a quoted reply; the line below an address; a line
# with a code; a line that says what is wrong.
_QUOTED = (
    re.compile(
        r"(?:said|responded|returned|replied|answered|says?|response(?: was| from[^\n:]{0,80})?|"
        r"error (?:was|message)|status|reason|diagnostic|<<<|failed with|"
        r"the error that the other server returned was|technical details[^\n:]{0,60})"
        r"\s*:?\s*\n?\s*[\"'<]?((?:5|4)\d\d[ -][^\n]+(?:\n[ \t]*(?![ \t]*[-=*<]{2})[^\n]{3,200}){0,4})",
        re.IGNORECASE,
    ),
    re.compile(
        r"^\s*[>\s]*((?:5|4)\d\d(?:[ -]|: )#?[45]?\.?[^\n]{4,}(?:\n[ \t]+[^\n]{3,200}){0,3})", re.MULTILINE
    ),
    re.compile(r"((?:5|4)\d\d[ -]#?[45]\.\d{1,3}\.\d{1,3}[^\n]*(?:\n[ \t]*[^\n]{3,200}){0,2})"),
    re.compile(r"(?:\(|smtp error[^\n]{0,80}?:?\s|#)((?:5|4)\d\d[ -][^\n]{4,200})", re.IGNORECASE),
    re.compile(
        r"(?<![\d.\[])(#?[45]\.\d{1,3}\.\d{1,3}(?![\d.\]])[^\n]{0,80}[^\W\d_]{4}"
        r"[^\n]{0,300}(?:\n[ \t]+[^\n]{3,200}){0,2})"
    ),
    re.compile(r"\b(55[0-4]\s[^\n]{4,200})"),
)
_BELOW_ADDRESS = re.compile(
    r"^[ \t*]*(?:<[^<>\s]+@[^<>\s]+>|[^\s<>@:()]+@[^\s<>@:()]+)[ \t]*(?:\([^\n]*\))?[ \t]*:?[ \t]*(?:\n"
    r"|[-–:][ \t]*|[ \t])[ \t]*([^\n]{4,}(?:\n[ \t]*(?!\s*[-=*]{3})[^\n]{3,200}){0,6})",
    re.MULTILINE,
)
_GENERATED = re.compile(r"^\s*\(?(?:ultimately )?(?:expanded|generated) from\b[^\n]*\n?", re.IGNORECASE)
_ANY_ADDRESS = re.compile(r"\S+@\S+")
_LINE = re.compile(
    r"^[^\n]*(?:user|recipient|mailbox|account|address|quota|inbox|domain|host|"
    r"spam|virus|relay|size|blocked|hops|space|collected|gateway|exist|"
                   r"rejected|refused|unknown|disabled|denied|timed? ?out|connect|unrouteable|"
                   r"loop)[^\n]*$", re.IGNORECASE | re.MULTILINE)  # fmt: skip
_BOILERPLATE = re.compile(
    r"(could not|cannot|can.t|was not|unable to|not able to|failed to) (be )?(deliver|send)[^\n]*"
    rf"(recipient|address|following|below)|^\W*({_any('introductions')})",
    re.IGNORECASE,
)


def _reason_in(notice: str) -> str:
    """Return what a notice says is wrong, on one line; empty if it says nothing."""
    text = re.sub(r"=\n", "", notice)
    for pattern in _QUOTED[:1]:
        if found := pattern.search(text):
            return _one_line(found[1])
    addressed = _BELOW_ADDRESS.search(text)
    if addressed and _says_something(below := _GENERATED.sub("", addressed[1])):
        return _one_line(below)
    for pattern in _QUOTED[1:]:
        if found := pattern.search(text):
            return _one_line(found[1])
    lines = [
        line
        for line in _LINE.findall(text)
        if _LINE.search(_ANY_ADDRESS.sub("", line)) and not _BOILERPLATE.search(line)
    ]
    return _one_line(" ".join(lines[:4]) if lines else text[:1_000])


def _says_something(text: str) -> bool:
    return len(re.sub(r"\W", "", text)) > LEAST_WORDS and not _BOILERPLATE.search(
        text.split("\n", maxsplit=1)[0]
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1000]


# --- The returned mail ---


def texts_naming_sends(mail: Part) -> Iterator[str]:
    """Yield the texts of a report in which the returned mail's Message-ID may stand, the likeliest first."""
    parts = list(mail.walk())
    for part in parts:
        if part.level and part.content_type in _RETURNED_TYPES:
            yield _text(part)
    for part in parts:
        yield " ".join(" ".join(values) for values in part.fields.values())
        if not part.content_type.startswith("multipart/"):
            yield _text(part)


def _text(part: Part) -> str:
    """Return the decoded text of a part that is not a text part, too; an attached mail with its header."""
    return part.decoded_body[:200_000].decode("utf-8", "replace")
