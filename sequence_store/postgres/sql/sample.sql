-- name: lock_loading
-- One loading at a time; a second one waits and then finds the data.
SELECT pg_advisory_xact_lock(7236005)

-- name: count_sequences
-- Deleted sequences count too: a database that has them is in use.
SELECT count(*) FROM sequences

-- name: count_sample
-- Whether the sequences in the database are the sample's.
SELECT count(*) FROM sequences WHERE sequence_name = ANY (%(names)s)

-- name: copy_sequences
-- In the file's order, which is the order of ids.
COPY sequences (sequence_name, is_active, priority, max_new_per_day) FROM STDIN

-- name: copy_steps
-- Steps of the sequences just made.
COPY steps (sequence_id, step_number, step_name, delay_days, mail_subject, mail_content) FROM STDIN

-- name: copy_mailboxes
-- The windows have been moved to the current time.
COPY mailboxes (address, display_name, send_limit, send_start_time, send_end_time, time_zone, send_days,
    min_gap_seconds, holiday_calendar, max_first_mails, ramp_up_start, ramp_up_daily_increment,
    ramp_up_started, is_active, parked_until, parked_reason) FROM STDIN

-- name: copy_contacts
-- The export's other columns become attributes, for the templates.
COPY contacts (name, mail_address, mail_address_written, is_active, attributes) FROM STDIN

-- name: copy_routes
-- Which mailboxes a sequence may use.
COPY sequences_mailboxes (sequence_id, mailbox_id) FROM STDIN

-- name: copy_enrolments
-- The enrolments.
COPY sequences_contacts (sequence_id, contact_id, status, current_step, next_send, last_send, mailbox_id)
FROM STDIN

-- name: read_sequence_ids
-- Names to ids.
SELECT sequence_name, id FROM sequences WHERE deleted_at IS NULL

-- name: read_mailbox_ids
-- Addresses to ids.
SELECT address, id FROM mailboxes WHERE deleted_at IS NULL

-- name: read_contact_ids
-- Addresses to ids.
SELECT mail_address, id FROM contacts WHERE deleted_at IS NULL

-- name: suppress_ended
-- Contacts that bounced or unsubscribed must not be mailed by any sequence.
INSERT INTO suppressions (address_hmac, reason)
SELECT DISTINCT ON (c.id) address_hmac(c.mail_address, %(pads)s),
    CASE e.status WHEN 'bounced' THEN 'hard_bounce' ELSE 'unsubscribed' END
FROM sequences_contacts e JOIN contacts c ON c.id = e.contact_id
WHERE e.status IN ('bounced', 'unsubscribed')
ON CONFLICT DO NOTHING

-- name: gather_statistics
-- The first plan follows within seconds, before autovacuum gathers statistics.
ANALYZE sequences, steps, mailboxes, contacts, sequences_mailboxes, sequences_contacts

-- name: summarise_enrolments
-- The loaded enrolments, as they stand on this planning day.
SELECT CASE
    WHEN status <> 'active' THEN status
    WHEN next_send = %(day)s THEN 'due today'
    WHEN next_send < %(day)s THEN 'overdue'
    ELSE 'due later' END AS standing, count(*), count(mailbox_id)
FROM sequences_contacts GROUP BY 1 ORDER BY 2 DESC
