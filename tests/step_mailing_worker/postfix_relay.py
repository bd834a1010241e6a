"""A Postfix of its own configuration as relay, and a server behind it that refuses as a script says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from local_stack.ports import LOOPBACK, free_port
from tests.postfix_server import running_postfix

RELAY = """
myhostname = relay.sender.example
relayhost = [127.0.0.1]:{remote}
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_tls_security_level = none
smtpd_tls_security_level = none
disable_dns_lookups = yes
smtp_dns_support_level = disabled
notify_classes =
# A mail that is deferred comes back after one attempt.
maximal_queue_lifetime = 0
bounce_queue_lifetime = 1h
minimal_backoff_time = 1s
queue_run_delay = 1s
"""


@dataclass
class RemoteServer:
    """Refuses each recipient as `script` says: a stage (rcpt, dot) and a reply; accepts all others.

    `returned` holds the mails to ann@sender.example, which the relay returns to their sender.
    """

    script: Mapping[str, tuple[str, str]]
    returned: list[bytes] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802  # a name of aiosmtpd
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        stage, reply = self.script.get(address, ("", ""))
        if stage == "rcpt":
            return reply
        envelope.rcpt_tos.append(address)
        return "250 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        (address,) = envelope.rcpt_tos
        stage, reply = self.script.get(address, ("", ""))
        if stage == "dot":
            return reply
        if address == "ann@sender.example":
            self.returned.append(bytes(envelope.content or b""))
        else:
            self.accepted.append(address)
        return "250 Ok: queued as REMOTE1"


@contextmanager
def running_remote(script: Mapping[str, tuple[str, str]]) -> Iterator[tuple[RemoteServer, int]]:
    server, port = RemoteServer(script), free_port()
    controller = Controller(server, hostname=LOOPBACK, port=port)
    controller.start()
    try:
        yield server, port
    finally:
        controller.stop()


def running_relay(remote_port: int) -> AbstractContextManager[int]:
    """Run a Postfix that relays to this port until the block ends; give its port."""
    return running_postfix(RELAY.format(remote=remote_port))
