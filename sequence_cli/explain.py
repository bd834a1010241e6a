"""Commands `sequences explain …`: show how the system judges what it receives. They use no database."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from sequence_cli.errors import ExplainError

app = typer.Typer(no_args_is_help=True, help="Show how replies of mail servers are judged.")


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
