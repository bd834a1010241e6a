"""`python -m local_stack.sqs`: the local SQS as a server by itself, as a container runs it.

It keeps nothing, so each start makes the queues, and returns sends whose messages are gone to the plan.
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

ENDS = {signal.SIGTERM, signal.SIGINT}


def serve(settings: OwnerSettings, *, host: str, port: int) -> None:
    """Serve SQS until a signal ends it; AWS_ENDPOINT_URL_SQS of `settings` has to lead here."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # before any thread begins, so that sigwait gets them
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line a request
    server = ThreadedMotoServer(host, port, verbose=False)
    server.start()
    print(f"{restore(settings)} sends planned again", flush=True)  # noqa: T201
    signal.sigwait(ENDS)
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
