"""Runs the migrations over one connection, under a lock, waiting for no other session's lock for long."""

from __future__ import annotations

from alembic import context
from sqlalchemy import NullPool, create_engine, text

MIGRATION_LOCK = 7_236_001
LOCK_TIMEOUT = "10s"  # who waits for a lock on a table lets everybody else wait behind it
STATEMENT_TIMEOUT = "30min"

engine = create_engine(
    context.config.attributes["url"],
    poolclass=NullPool,
    connect_args={"application_name": "sequences migrate", "options": "-c timezone=UTC"},
)
with engine.connect() as connection:
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    bounds = {"lock_timeout": LOCK_TIMEOUT, "statement_timeout": STATEMENT_TIMEOUT}
    for name, bound in (bounds | context.config.attributes["bounds"]).items():
        connection.execute(text("SELECT set_config(:name, :bound, false)"), {"name": name, "bound": bound})
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
