"""The embedded default: Postgres, queues, mail and the product's programs as real servers on loopback."""
