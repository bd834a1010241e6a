"""The step mailing worker: takes a message at its minute, sends the mail over SMTP, reports the outcome."""
