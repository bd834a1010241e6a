"""Code and SQL that all services share: domain terms, database, mail content, queues, settings and errors."""
