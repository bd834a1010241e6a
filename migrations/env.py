"""Runs the migrations over one connection, under a lock, waiting for no other session's lock for long."""

from __future__ import annotations

from alembic import context
from sqlalchemy import NullPool, create_engine, text

MIGRATION_LOCK = 7_236_001
LOCK_TIMEOUT = "10s"

engine = create_engine(
    context.config.attributes["url"],
    poolclass=NullPool,
    connect_args={"application_name": "sequences migrate", "options": "-c timezone=UTC"},
)
with engine.connect() as connection:
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.execute(text("SELECT set_config('lock_timeout', :bound, false)"), {"bound": LOCK_TIMEOUT})
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
