"""Starts a Postfix with a configuration of its own, which listens on loopback. It must be started as root."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_stack.ports import answers, free_port
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
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
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


@contextmanager
def running_postfix(settings: str) -> Iterator[int]:
    """Run Postfix with these settings beside MAIN_CF until the block ends; yield its port."""
    daemons = next(
        folder for folder in ("/usr/lib/postfix/sbin", "/usr/libexec/postfix") if Path(folder).is_dir()
    )
    postfix = shutil.which("postfix", path="/usr/sbin:/sbin") or "postfix"
    with tempfile.TemporaryDirectory(prefix="postfix") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        config = folder / "config"
        for part in ("config", "queue", "data"):
            (folder / part).mkdir()
        shutil.chown(folder / "data", "postfix")
        (config / "main.cf").write_text(MAIN_CF.format(folder=folder, daemons=daemons) + settings)
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
