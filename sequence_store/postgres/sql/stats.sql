-- Counts of what came of the mails, from the roll-ups. The days are those of the mails.

-- name: by_sequence
SELECT q.external_id AS sequence_id, q.sequence_name, c.*
FROM outcome_sums('sequence', %(sequence)s, %(from)s, %(to)s) c
JOIN sequences q ON q.id = c.key_sequence ORDER BY c.mails DESC, c.key_sequence LIMIT %(most)s

-- name: by_step
SELECT q.external_id AS sequence_id, q.sequence_name, st.external_id AS step_id, st.step_number, c.*
FROM outcome_sums('step', %(sequence)s, %(from)s, %(to)s) c
JOIN sequences q ON q.id = c.key_sequence LEFT JOIN steps st ON st.id = c.key_step
ORDER BY q.id, st.step_number, c.key_step LIMIT %(most)s

-- name: by_mailbox
SELECT m.external_id AS mailbox_id, c.*
FROM outcome_sums('mailbox', %(sequence)s, %(from)s, %(to)s) c
JOIN mailboxes m ON m.id = c.key_mailbox ORDER BY c.mails DESC, c.key_mailbox LIMIT %(most)s

-- name: by_day
-- The latest days, in order.
SELECT * FROM (
    SELECT c.key_day AS day, c.* FROM outcome_sums('day', %(sequence)s, %(from)s, %(to)s) c
    ORDER BY c.key_day DESC LIMIT %(most)s) d ORDER BY day
