"""Asks a Postfix whether it accepts every address that we accept, in the form in which the worker mails it.

Run by `make trial NAME=postfix-addresses`, as root. The Postfix has its own folder, listens on loopback and
delivers nothing: no mail gets further than RCPT. One setting differs from Postfix's defaults on purpose:
`allow_min_user`, without which it refuses a local part that begins with a hyphen.
"""

from __future__ import annotations

import shutil
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import wait_until
from sequence_store.domain.addresses import canonical_address
from tests.sequence_store.test_addresses import ADDRESSES, HOSTS, PLAIN, WORDS

EXAMPLES = 5_000
ACCEPTED = 250
ADDRESSES_A_CONNECTION = 500
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
inet_interfaces = {host}
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = trial.example
mydestination =
local_recipient_maps =
default_transport = discard:
relay_transport = discard:
alias_maps =
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_recipient_limit = 100000
smtpd_hard_error_limit = 100000
smtpd_soft_error_limit = 100000
smtpd_error_sleep_time = 0
smtputf8_enable = yes
strict_rfc821_envelopes = yes
allow_min_user = yes
"""
MASTER = """\
{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


@contextmanager
def postfix() -> Iterator[int]:
    """Start a Postfix in a folder of its own; yield its port."""
    folder, port = Path(tempfile.mkdtemp(prefix="postfix-")), free_port()
    folder.chmod(0o755)
    try:
        for name in ("queue", "data", "config"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        config = folder / "config"
        (config / "main.cf").write_text(MAIN.format(folder=folder, host=LOOPBACK))
        (config / "master.cf").write_text(MASTER.format(port=port))
        run = ("postfix", "-c", str(config))
        subprocess.run((*run, "start"), check=True, capture_output=True)
        try:
            if not wait_until(lambda: answers(port), 20):
                raise SystemExit(f"Postfix does not answer: {(folder / 'maillog').read_text()[-2000:]}")
            yield port
        finally:
            subprocess.run((*run, "stop"), check=False, capture_output=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    with postfix() as port:
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
