"""Tests the user agents that are told apart as programs, and the data file that lists them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from sequence_store.mail import fetchers

LISTED = tomllib.loads((Path(fetchers.__file__).parent / "machine_agents.toml").read_text())["agents"]
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/130.0 Safari/537.36"
PEOPLE = [
    CHROME,
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) {WEBKIT} Version/17.5 Safari/605.1.15",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT} Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.2.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Trident/7.0; Microsoft Outlook 16.0.5; ms-office)",
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/130.0 Mobile Safari/537.36",
    "Outlook-iOS/723.4027091.prod.iphone (4.28.0)",
]
PROGRAMS = [
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    "Mozilla/5.0",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b",
    "python-requests/2.32.3",
    "curl/8.5.0",
    "Go-http-client/2.0",
    "Apache-HttpClient/4.5.13 (Java/11.0.20)",
    "BarracudaCentral/1.0",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    CHROME.replace("Chrome/", "HeadlessChrome/"),
    "",
    "   ",
    None,
]


@pytest.mark.parametrize("agent", PEOPLE)
def test_browser_or_mail_program_is_a_person(agent: str) -> None:
    assert not fetchers.is_machine(agent)


@pytest.mark.parametrize("agent", PROGRAMS)
def test_proxy_scanner_preview_or_library_is_a_program_in_any_case(agent: str | None) -> None:
    assert fetchers.is_machine(agent)
    assert agent is None or fetchers.is_machine(agent.upper())


def test_long_agent_is_read_in_bounded_time() -> None:
    assert not fetchers.is_machine("x" * 1_000_000)


@pytest.mark.parametrize("listed", LISTED, ids=lambda one: one["name"])
def test_each_entry_has_patterns_a_kind_and_a_source(listed: dict[str, object]) -> None:
    assert set(listed) == {"patterns", "kind", "name", "source"}
    assert str(listed["source"]).startswith("https://")
    patterns = listed["patterns"]
    assert isinstance(patterns, list)
    assert all(re.compile(pattern) for pattern in patterns)
