"""Step mailing worker: receives send messages from SQS, claims each send in Postgres, sends its mail."""
