"""Checks, before a worker receives anything, that the schema is migrated and that mails can be delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sequence_store.errors import SettingsError
from sequence_store.postgres.schema_revision import SchemaState, newer_schema, release_revision, schema_state
from sequence_store.settings import LOCAL, SmtpSettings
from step_mailing_worker import logs
from step_mailing_worker.backoff import backoff
from step_mailing_worker.endpoints import SES
from step_mailing_worker.sinks import is_sink
from step_mailing_worker.smtp import tls_context
from step_mailing_worker.smtp_replies import storable
from step_mailing_worker.store import DATABASE_AWAY, Store

_FIRST_DELAY_SECONDS = 0.5
_GREETING_BYTES = 512

Pause = Callable[[float], Awaitable[bool]]  # waits for the seconds; returns whether the worker was stopped


async def await_schema(store: Store, pause: Pause) -> bool:
    """Wait until the database is at this release's revision or a newer one; return False if stopped.

    A newer one is logged: the programs of a release keep working while the next one is installed.
    """
    delays = backoff(_FIRST_DELAY_SECONDS)
    said = ""
    while True:
        fault = "waiting_for_migrations"
        try:
            found = await store.schema_revision()
        except DATABASE_AWAY:
            fault, found = "database_not_reached", None
        else:
            state = schema_state(found)
            if state is SchemaState.NEWER:
                logs.warn("schema_is_newer", meaning=newer_schema(found))
            if state is not SchemaState.OLDER:
                return True
        if fault != said:
            logs.warn(fault, database=found, release=release_revision())
            said = fault
        if await pause(next(delays)):
            return False


async def refuse_sinks(store: Store, settings: SmtpSettings) -> None:
    """Outside `local`, raise SettingsError if SMTP_HOST is missing for a mailbox, or is a mail sink."""
    if settings.sequence_environment == LOCAL:
        return
    where = f"in the environment {settings.sequence_environment!r}"
    if not settings.smtp_host:
        if count := await store.mailboxes_without_server():
            raise SettingsError(
                f"SMTP_HOST must be set {where}: {count} active mailboxes have no smtpHost of their own. "
                "Set it to your mail server, or give each mailbox a server in the API."
            )
    elif not settings.smtp_host.startswith(SES) and (greeting := await _sinks_greeting(settings)):
        raise SettingsError(
            f"SMTP_HOST must not be {settings.smtp_host!r} {where}: the server greets as a mail sink "
            f"({greeting}), which accepts every mail and delivers none. Set it to your mail server."
        )


async def _sinks_greeting(settings: SmtpSettings) -> str | None:
    """Return the greeting of SMTP_HOST if it is a sink's, or None. A server that is down is none."""
    context = tls_context() if settings.smtp_security == "tls" else None
    text = ""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(settings.smtp_timeout_seconds):
            reader, writer = await asyncio.open_connection(
                settings.smtp_host, settings.smtp_port, ssl=context
            )
            try:
                text = (await reader.read(_GREETING_BYTES)).decode(errors="replace")
            finally:
                writer.close()
    return storable(text) if is_sink(text) else None
