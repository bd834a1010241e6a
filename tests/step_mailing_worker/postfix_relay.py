"""A Postfix of its own configuration as relay, and a server behind it that refuses as a script says."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import wait_until

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.sender.example
mydestination =
local_recipient_maps =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{remote}
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_tls_security_level = none
smtpd_tls_security_level = none
disable_dns_lookups = yes
smtp_dns_support_level = disabled
notify_classes =
alias_maps =
alias_database =
# A mail that is deferred comes back after one attempt.
maximal_queue_lifetime = 0
bounce_queue_lifetime = 1h
minimal_backoff_time = 1s
queue_run_delay = 1s
"""
MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
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


@contextmanager
def running_postfix(remote_port: int) -> Iterator[int]:
    """Run Postfix (as root, as it demands) until the block ends; give its port."""
    daemons = next(
        folder for folder in ("/usr/lib/postfix/sbin", "/usr/libexec/postfix") if Path(folder).is_dir()
    )
    postfix = shutil.which("postfix", path="/usr/sbin:/sbin") or "postfix"
    with tempfile.TemporaryDirectory(prefix="postfix") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        config = folder / "config"
        config.mkdir()
        (folder / "queue").mkdir()
        (folder / "data").mkdir()
        shutil.chown(folder / "data", "postfix")
        (config / "main.cf").write_text(MAIN_CF.format(folder=folder, daemons=daemons, remote=remote_port))
        (config / "master.cf").write_text(MASTER_CF.format(port=port))
        command = [postfix, "-c", str(config)]
        started = subprocess.run([*command, "start"], capture_output=True, text=True, check=False, timeout=60)
        try:
            assert wait_until(lambda: answers(port), 20), started.stderr + _log(folder)
            yield port
        finally:
            subprocess.run([*command, "stop"], capture_output=True, check=False, timeout=60)


def _log(folder: Path) -> str:
    log = folder / "postfix.log"
    return log.read_text() if log.exists() else ""
