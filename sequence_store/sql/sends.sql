-- name: list_sends
-- What an operator looks at: the latest sends of a status, by ids.
SELECT contact_id, step_id, round, mailbox_id, send_at, reason FROM sends
WHERE status = %(status)s ORDER BY send_at DESC LIMIT %(limit)s

-- name: resolve_send
-- Settles an unknown send once; a step belongs to one sequence.
SELECT resolve_send(st.sequence_id, %(contact_id)s, st.id, %(round)s, %(as)s) FROM steps st WHERE st.id = %(step_id)s
