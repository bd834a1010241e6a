"""Runs the local SQS as a standalone server, for a container: `python -m local_stack.sqs`.

The server keeps nothing, so each start creates the queues and sets sends whose messages were lost back to
planned.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys

from moto.server import ThreadedMotoServer

from local_stack.ports import LOOPBACK
from local_stack.queues import restore
from sequence_store.errors import StoreError
from sequence_store.settings import OwnerSettings, read_settings

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def serve(settings: OwnerSettings, *, host: str, port: int) -> None:
    """Serve SQS until a signal; AWS_ENDPOINT_URL_SQS of `settings` must be this server's URL."""
    signal.pthread_sigmask(
        signal.SIG_BLOCK, STOP_SIGNALS
    )  # before any thread starts, so that sigwait receives them
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line per request
    server = ThreadedMotoServer(host, port, verbose=False)
    server.start()
    print(f"{restore(settings)} sends set back to planned", flush=True)  # noqa: T201
    signal.sigwait(STOP_SIGNALS)
    server.stop()


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m local_stack.sqs", description=__doc__)
    arguments.add_argument("--host", default=LOOPBACK)
    arguments.add_argument("--port", type=int, default=4566)
    given = arguments.parse_args()
    try:
        serve(read_settings(OwnerSettings), host=given.host, port=given.port)
    except StoreError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
