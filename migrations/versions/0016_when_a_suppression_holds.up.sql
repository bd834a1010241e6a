-- A suppression is entered once its contact is locked, so nothing begins after that second. Its transaction may have
-- begun long before, and have waited for a mail.
ALTER TABLE suppressions ALTER COLUMN at SET DEFAULT clock_timestamp();
