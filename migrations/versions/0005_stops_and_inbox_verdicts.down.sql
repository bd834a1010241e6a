DROP TABLE company_stops, inbox_mails, inbox_counts, free_mail_domains;
DROP INDEX contacts_mail_domain;
ALTER TABLE sequences_contacts DROP COLUMN thread_round, DROP COLUMN enrolled_at;
ALTER TABLE contacts DROP COLUMN replied_at, DROP COLUMN reply_stopped_at, DROP COLUMN stopped_at,
    DROP COLUMN stopped_reason, DROP COLUMN hold_from, DROP COLUMN hold_until, DROP COLUMN hold_reason,
    DROP COLUMN held_at;
ALTER TABLE sequences DROP COLUMN reply_stops;
DELETE FROM inbox_positions WHERE folder <> 'INBOX';
ALTER TABLE inbox_positions DROP CONSTRAINT inbox_positions_pkey;
ALTER TABLE inbox_positions DROP COLUMN folder, DROP COLUMN newest_at, DROP COLUMN waiting,
    ADD PRIMARY KEY (mailbox_id);
