"""Tells by its user agent whether a program fetched a link of a mail (machine_agents.toml)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

LONGEST_AGENT = 1_000


def is_machine(user_agent: str | None) -> bool:
    """Return whether the user agent is that of a program that fetches links without a person.

    A request without a user agent is a program's: every browser and mail program sends one.
    """
    agent = (user_agent or "").strip()[:LONGEST_AGENT]
    return not agent or _pattern().search(agent) is not None


@cache
def _pattern() -> re.Pattern[str]:
    text = (files("sequence_store.mail") / "machine_agents.toml").read_text(encoding="utf-8")
    patterns = [pattern for one in tomllib.loads(text)["agents"] for pattern in one["patterns"]]
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
