"""Access to Postgres: connections, the named SQL statements and the lookback into the ledger."""
