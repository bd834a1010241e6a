"""Commands `sequences explain …`: show how the system judges what it receives. They use no database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from sequence_cli.errors import ExplainError

app = typer.Typer(no_args_is_help=True, help="Show how replies and incoming mails are judged.")


@app.command()
def replies(
    file: Annotated[
        typer.FileText,
        typer.Argument(
            encoding="utf-8",
            errors="replace",
            help="JSON lines with `stage` (connect, auth, mail, rcpt, data, dot) and `reply`; `-` for stdin.",
        ),
    ],
) -> None:
    """Judge SMTP replies: print for each whose fault it is and what follows, as a JSON line.

    For example: echo '{"stage": "rcpt", "reply": "550 5.1.1 User unknown"}' | sequences explain replies -
    """
    from sequence_store.mail.faults import judge

    place = getattr(file, "name", "-")
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        stage, reply = _case(line, f"{place}:{number}")
        verdict = judge(stage, reply)
        document = {
            "fault": verdict.fault.value,
            "permanent": verdict.permanent,
            "suppresses": verdict.suppresses,
            "parks": verdict.parks.value,
            "why": verdict.why,
        }
        typer.echo(json.dumps(document, ensure_ascii=False))


def _case(line: str, place: str) -> tuple[str, str]:
    """Return stage and reply of a line; raise ExplainError that names the place and the fault."""
    from sequence_store.mail.faults import Stage

    try:
        case: Any = json.loads(line)
    except ValueError as error:
        raise ExplainError(f"{place} is not JSON: {error}") from None
    if not isinstance(case, dict) or not isinstance(case.get("reply"), str):
        raise ExplainError(f'{place} must be an object with "stage" and "reply", both texts')
    stages = [stage.value for stage in Stage]
    if case.get("stage") not in stages:
        raise ExplainError(f'{place}: "stage" must be one of {", ".join(stages)}')
    return case["stage"], case["reply"]


@app.command()
def mails(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Mails as they were received (.eml). A file that ends in .jsonl has a case a line: an "
            "object with `mail`, in which {ID} stands for the Message-ID of a mail that we sent.",
        ),
    ],
    mailbox: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Address of the mailbox that received them; by default the one in To."
        ),
    ] = None,
) -> None:
    """Judge incoming mails: print for each its kind, the send that it names, and why, as a JSON line.

    LINK_KEYS verifies the names of sends. `until` is the last day of an absence, if the notice names one.
    """
    from sequence_store.settings import MessageIdSettings, read_settings

    settings = read_settings(MessageIdSettings)

    from step_mailing_worker.inbound_mail.verdict import judge_mail

    secrets = settings.message_id_keys
    for name, content in _mails(files, secrets[0]):
        verdict = judge_mail(content, own_address=mailbox, secrets=secrets)
        document = {
            "file": name,
            "kind": verdict.kind.value,
            "send": verdict.send and ".".join(str(part) for part in verdict.send),
            "until": verdict.until and verdict.until.isoformat(),
            "why": verdict.why,
        }
        typer.echo(json.dumps(document, ensure_ascii=False))


def _mails(files: list[Path], secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each mail; raise ExplainError for a file that cannot be read."""
    for path in files:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ExplainError(f"{path} cannot be read: {error.strerror or error}") from None
        if path.suffix.lower() != ".jsonl":
            yield str(path), content
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if line.strip():
                yield f"{path}:{number}", _mail_case(line, f"{path}:{number}", secret)


def _mail_case(line: str, place: str, secret: bytes) -> bytes:
    from sequence_store.domain.messages import SendKey
    from sequence_store.mail.message_ids import message_id

    try:
        case: Any = json.loads(line)
    except ValueError as error:
        raise ExplainError(f"{place} is not JSON: {error}") from None
    if not isinstance(case, dict) or not isinstance(case.get("mail"), str):
        raise ExplainError(f'{place} must be an object with "mail", a text')
    own_id = message_id(SendKey(1, 1, 1, 1), "sender.example", secret)
    return str(case["mail"]).replace("{ID}", own_id).encode("utf-8", "surrogatepass")
