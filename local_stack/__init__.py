"""Local stack: runs Postgres, queues, a mail sink and the product's programs on loopback."""
