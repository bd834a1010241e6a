-- name: lock_dispatch
-- One dispatcher at a time; the session holds the lock.
SELECT pg_try_advisory_lock(7236004)

-- name: expire_overdue
-- A send past its not_after is not mailed late; its contact is planned again. The clock is the database's;
-- a plan that is made for another time uses that time too. `since` bounds the index scan.
UPDATE sends SET status = 'expired', reason = 'not_after', claim = NULL, lease_until = NULL
WHERE send_at >= %(since)s AND not_after < least(clock_timestamp(), %(now)s)
    AND (status IN ('planned', 'dispatched') OR (status = 'claimed' AND lease_until < clock_timestamp()))
RETURNING sequence_id, contact_id, step_id, round

-- name: read_ready
-- Planned rows that become messages now: near enough for SQS to delay them to their second.
SELECT sequence_id, contact_id, step_id, round, mailbox_id, send_at, not_after, attempt,
    greatest(0, ceil(extract(epoch FROM send_at - clock_timestamp())))::integer AS delay_seconds
FROM sends
WHERE send_at >= %(since)s AND send_at <= clock_timestamp() + make_interval(secs => %(ahead_seconds)s)
    AND not_after >= clock_timestamp() AND status = 'planned'
ORDER BY send_at

-- name: mark_dispatched
-- Rows whose message SQS confirmed. A row that was cancelled or planned again meanwhile stays as it is.
UPDATE sends s SET status = 'dispatched', dispatched_at = clock_timestamp()
FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[], %(step_ids)s::bigint[],
    %(rounds)s::smallint[], %(attempts)s::integer[]) k (sequence_id, contact_id, step_id, round, attempt)
WHERE s.sequence_id = k.sequence_id AND s.contact_id = k.contact_id AND s.step_id = k.step_id
    AND s.round = k.round AND s.attempt = k.attempt AND s.status = 'planned'

-- name: find_next
-- When the next row has to be dispatched: the sensor reports it if there is none now.
SELECT send_at FROM sends WHERE send_at > now() AND status = 'planned' ORDER BY send_at LIMIT 1

-- name: count_ready
-- The sensor's check each minute: undispatched rows that have to become messages soon.
SELECT count(*) FILTER (WHERE not_after >= clock_timestamp()) AS ready,
    count(*) FILTER (WHERE not_after < clock_timestamp()) AS overdue,
    min(send_at) AS first
FROM sends
WHERE send_at >= %(since)s AND send_at <= clock_timestamp() + make_interval(secs => %(ahead_seconds)s)
    AND status = 'planned'
