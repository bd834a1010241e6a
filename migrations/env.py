"""Runs the migrations and then the functions over one connection, in one transaction, under a lock."""

from __future__ import annotations

import time

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from migrations import refuse_unknown_revision
from migrations.revision import apply_functions, fill_free_mail_domains

MIGRATION_LOCK = 7_236_001
LOCK_RETRY_SECONDS = 0.2
LOCK_TIMEOUT = "10s"  # a session that waits for a table's lock makes all later sessions wait behind it
STATEMENT_TIMEOUT = "30min"

attributes = context.config.attributes
engine = create_engine(
    attributes["url"],
    poolclass=NullPool,
    connect_args={
        "application_name": "sequences migrate",
        "options": "-c timezone=UTC",
        "connect_timeout": 10,
    },
)
with engine.connect() as connection:
    # A statement that waits for the lock would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for
    # those.
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}):
        connection.rollback()
        time.sleep(LOCK_RETRY_SECONDS)
    bounds = {"lock_timeout": LOCK_TIMEOUT, "statement_timeout": STATEMENT_TIMEOUT}
    for name, bound in (bounds | attributes["bounds"]).items():
        connection.execute(text("SELECT set_config(:name, :bound, false)"), {"name": name, "bound": bound})
    connection.commit()
    context.configure(connection=connection)
    with context.begin_transaction():
        refuse_unknown_revision(context.get_context().get_current_heads())
        context.run_migrations()
        if attributes["functions"]:
            apply_functions()
            fill_free_mail_domains()
