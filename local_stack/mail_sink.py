"""Mail sink `python -m local_stack.mail_sink`: accepts every mail over SMTP, delivers none, shows them."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session

from local_stack.mail_page import make_app
from local_stack.mail_store import MailStore
from local_stack.ports import LOOPBACK


class SinkHandler:
    """Accepts and stores every mail, whatever its sender and recipients."""

    def __init__(self, store: MailStore) -> None:
        self._store = store

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        source = envelope.original_content or b""
        entry = self._store.add(str(envelope.mail_from), list(envelope.rcpt_tos), source)
        return f"250 2.0.0 stored as message {entry.id}"


async def serve(store: MailStore, *, smtp_port: int, port: int, host: str = LOOPBACK) -> None:
    """Serve SMTP and the web page on `host` until a signal ends the process."""
    loop = asyncio.get_running_loop()
    handler = SinkHandler(store)
    smtp = await loop.create_server(
        lambda: SMTP(
            handler, hostname="mail-sink.localhost", ident="delivers nothing", enable_SMTPUTF8=True, loop=loop
        ),
        host,
        smtp_port,
    )
    page = uvicorn.Server(
        uvicorn.Config(make_app(store), host=host, port=port, access_log=False, log_level="warning")
    )
    async with smtp:
        await page.serve()


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m local_stack.mail_sink", description=__doc__)
    arguments.add_argument("--host", default=LOOPBACK)
    arguments.add_argument("--smtp-port", type=int, default=1025)
    arguments.add_argument("--port", type=int, default=8025, help="port of the web page")
    arguments.add_argument(
        "--folder", type=Path, default=Path(".local/mail"), help="folder of the stored mails"
    )
    given = arguments.parse_args()
    store = MailStore(given.folder)
    asyncio.run(serve(store, smtp_port=given.smtp_port, port=given.port, host=given.host))


if __name__ == "__main__":
    main()
