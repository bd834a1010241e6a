"""Runs the sender until SIGTERM; it reconnects if the database is lost, and waits for migrations."""

from __future__ import annotations

import logging
import signal
import sys
import threading

import psycopg
from prometheus_client import CollectorRegistry

from sequence_store.health import serve
from sequence_store.postgres.connection import connect
from sequence_store.postgres.queries import query
from sequence_store.secrets.at_rest import SecretBox
from sequence_store.settings import LOCAL, WebhookSettings
from webhook_sender.health import SenderHealth
from webhook_sender.receivers import Receivers
from webhook_sender.sender import Sender

log = logging.getLogger("sequences_webhooks")

IDLE_SECONDS = 1.0
BUSY_SECONDS = 0.02
RECONNECT_SECONDS = 5.0


def run(settings: WebhookSettings) -> None:
    """Send the feed to its receivers until SIGTERM or SIGINT, then finish the messages under way."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s level=%(levelname)s %(message)s"
    )
    stop, health = threading.Event(), SenderHealth()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = serve(settings, CollectorRegistry(), health)
    log.info("event=started")
    while not stop.is_set():
        try:
            _send(settings, stop, health)
        except psycopg.OperationalError as error:
            log.warning("event=database_lost error=%r", str(error).partition("\n")[0])
            health.note_turn(reached_database=False)
            stop.wait(RECONNECT_SECONDS)
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction):
            log.warning("event=waiting_for_migrations")
            health.note_turn(reached_database=False)
            stop.wait(RECONNECT_SECONDS)
    if server:
        server.shutdown()
        server.server_close()
    log.info("event=stopped")


def _send(settings: WebhookSettings, stop: threading.Event, health: SenderHealth) -> None:
    with connect(settings.pipeline_database_url, name="sequences webhooks", autocommit=True) as connection:
        if not _wait_for_lock(connection, stop, health):
            return
        log.info("event=sending")
        local = settings.sequence_environment == LOCAL
        sender = Sender(connection, Receivers(local=local), SecretBox.of(settings), stopping=stop.is_set)
        try:
            while not stop.is_set():
                sender.turn()
                health.note_turn(reached_database=True)
                stop.wait(IDLE_SECONDS if sender.is_idle else BUSY_SECONDS)
        finally:
            sender.finish()


def _wait_for_lock(
    connection: psycopg.Connection[tuple[object, ...]], stop: threading.Event, health: SenderHealth
) -> bool:
    while not stop.is_set():
        row = connection.execute(query("webhooks", "try_lock")).fetchone()
        health.note_turn(reached_database=True)
        if row and row[0]:
            return True
        stop.wait(IDLE_SECONDS)
    return False
