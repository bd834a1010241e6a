"""The step mailing worker: SQS wakes it, Postgres decides, SMTP sends; any number may run side by side."""
