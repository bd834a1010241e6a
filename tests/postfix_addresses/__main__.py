"""Asks a Postfix whether it accepts every address that we accept, in the form in which the worker mails it.

Run by `make trial NAME=postfix-addresses`, as root. The Postfix has its own folder, listens on loopback and
delivers nothing: no mail gets further than RCPT. One setting differs from Postfix's defaults on purpose:
`allow_min_user`, without which it refuses a local part that begins with a hyphen.
"""

from __future__ import annotations

import smtplib
import sys

from hypothesis import HealthCheck, given, settings

from local_stack.ports import LOOPBACK
from sequence_store.domain.addresses import canonical_address
from tests.postfix_server import running_postfix
from tests.sequence_store.test_addresses import ADDRESSES, HOSTS, PLAIN, WORDS

EXAMPLES = 5_000
ACCEPTED = 250
ADDRESSES_A_CONNECTION = 500
SETTINGS = """
myhostname = trial.example
default_transport = discard:
relay_transport = discard:
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_recipient_limit = 100000
smtpd_hard_error_limit = 100000
smtpd_soft_error_limit = 100000
smtpd_error_sleep_time = 0
smtputf8_enable = yes
strict_rfc821_envelopes = yes
allow_min_user = yes
"""


def refused(port: int, addresses: list[str]) -> list[tuple[str, str]]:
    """Return the addresses that the server refuses at RCPT, with its reply."""
    found = []
    with smtplib.SMTP(LOOPBACK, port, timeout=30) as client:
        client.command_encoding = "utf-8"
        client.ehlo("trial.example")
        client.mail("ann@sender.example", ["SMTPUTF8"])
        for address in addresses:
            code, reply = client.rcpt(address)
            if code != ACCEPTED:
                found.append((address, reply.decode(errors="replace")))
    return found


def accepted_addresses() -> list[str]:
    """Return canonical addresses of generated ones, of every alphabet and with every permitted character."""
    found: set[str] = set()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(ADDRESSES | PLAIN | HOSTS.flatmap(lambda host: WORDS.map(lambda word: f"{word}@{host}")))
    def collect(address: str) -> None:
        try:
            found.add(canonical_address(address))
        except ValueError:
            return

    collect()
    return sorted(found | {f"a{c}b@example.com" for c in "!#$%&'*+/=?^_`{|}~-"})


def main() -> int:
    addresses = accepted_addresses()
    failures: list[tuple[str, str]] = []
    with running_postfix(SETTINGS) as port:
        for start in range(0, len(addresses), ADDRESSES_A_CONNECTION):
            failures += refused(port, addresses[start : start + ADDRESSES_A_CONNECTION])
        control = refused(port, ["a..b@example.com", "ada@", "a b@example.com"])
    for address, reply in failures:
        print(f"{address!a}: {reply}")
    print(
        f"{len(addresses)} addresses that we accept: Postfix refuses {len(failures)};"
        f" of three that are none: {len(control)}"
    )
    return 1 if failures or not control else 0


if __name__ == "__main__":
    sys.exit(main())
