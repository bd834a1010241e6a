-- name: list_sends
-- A page of sends, the latest first, after a cursor. Without a day it lists the sends since `since`.
SELECT s.contact_id, s.step_id, s.round, s.sequence_id, q.sequence_name AS sequence, m.address AS mailbox,
    s.plan_day, s.status, s.send_at, s.reason, s.attempt, s.smtp_code
FROM sends s
LEFT JOIN sequences q ON q.id = s.sequence_id
LEFT JOIN mailboxes m ON m.id = s.mailbox_id
WHERE s.send_at >= %(since)s
    AND (%(day)s::date IS NULL OR s.plan_day = %(day)s)
    AND (%(status)s::text[] IS NULL OR s.status = ANY (%(status)s))
    AND (%(sequence)s::bigint IS NULL OR s.sequence_id = %(sequence)s)
    AND (%(mailbox)s::text IS NULL OR lower(m.address) = lower(%(mailbox)s))
    AND (%(reason)s::text IS NULL OR s.reason = %(reason)s)
    AND (%(before)s::timestamptz IS NULL OR s.send_at <= %(before)s
        AND (s.send_at, s.sequence_id, s.contact_id, s.step_id, s.round)
        < (%(before)s, %(before_sequence)s, %(before_contact)s, %(before_step)s, %(before_round)s))
ORDER BY s.send_at DESC, s.sequence_id DESC, s.contact_id DESC, s.step_id DESC, s.round DESC LIMIT %(limit)s

-- name: resolve_send
-- Resolves an unknown send, once. The step's row names the sequence.
SELECT resolve_send(st.sequence_id, %(contact_id)s, st.id, %(round)s, %(as)s) FROM steps st
WHERE st.id = %(step_id)s

-- name: find_sequences
-- The sequences that a person may mean: by name or by the id in the API, live ones first.
SELECT id, external_id, created, deleted_at FROM sequences
WHERE sequence_name = %(name)s OR external_id::text = lower(%(name)s)
ORDER BY deleted_at IS NOT NULL, id
