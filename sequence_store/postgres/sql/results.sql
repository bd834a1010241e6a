-- name: read_finished_lately
-- Finished sends whose result message may be lost. `since` bounds the scan of the index on send_at.
SELECT sequence_id, contact_id, step_id, round FROM sends
WHERE send_at >= %(since)s AND advanced_at IS NULL
    AND (status IN ('sent', 'hard_failed')
        OR (status = 'unknown' AND coalesce(finished_at, transmitting_at, send_at) <= %(settled)s))

-- name: advance_enrolments
-- Advances each enrolment once, by compare-and-set on round and advanced_at. The row decides, not the
-- message.
WITH finished AS (
    UPDATE sends s SET advanced_at = %(now)s
    FROM (SELECT DISTINCT * FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[],
            %(step_ids)s::bigint[], %(rounds)s::smallint[])) k (sequence_id, contact_id, step_id, round)
    WHERE s.sequence_id = k.sequence_id AND s.contact_id = k.contact_id AND s.step_id = k.step_id
        AND s.round = k.round AND s.advanced_at IS NULL
        AND (s.status IN ('sent', 'hard_failed')
            OR (s.status = 'unknown'
                AND coalesce(s.finished_at, s.transmitting_at, s.send_at) <= %(settled)s))
    RETURNING s.sequence_id, s.contact_id, s.step_id, s.round, s.status, s.send_day, s.mailbox_id
), due AS (
    SELECT DISTINCT ON (f.sequence_id, f.contact_id) f.*, sent.step_number,
        n.step_number AS next_number, n.delay_days, day.utc_offset
    FROM finished f
    JOIN sequences_contacts e
        ON e.sequence_id = f.sequence_id AND e.contact_id = f.contact_id AND e.round = f.round
    JOIN steps sent ON sent.id = f.step_id
    LEFT JOIN LATERAL next_live_step(f.sequence_id, greatest(e.current_step, sent.step_number::bigint + 1)) n
        ON true
    LEFT JOIN mailbox_days day ON day.mailbox_id = f.mailbox_id AND day.send_day = f.send_day
    WHERE f.status IN ('sent', 'unknown')
    ORDER BY f.sequence_id, f.contact_id, sent.step_number DESC
), advanced AS (
    UPDATE sequences_contacts e SET
        last_send = greatest(e.last_send, d.send_day),
        last_offset = d.utc_offset,
        current_step = greatest(e.current_step, least(d.step_number::bigint + 1, 2147483647)),
        next_send = next_send_after(d.send_day, d.delay_days),
        mailbox_id = d.mailbox_id,
        status = CASE WHEN d.next_number IS NULL AND e.status IN ('active', 'paused')
            THEN 'completed' ELSE e.status END
    FROM due d
    WHERE e.sequence_id = d.sequence_id AND e.contact_id = d.contact_id AND e.round = d.round
    RETURNING e.sequence_id, e.contact_id, e.status
), settled AS (
    DELETE FROM plan_deferrals p USING finished f
    WHERE p.sequence_id = f.sequence_id AND p.contact_id = f.contact_id
)
SELECT f.sequence_id, f.contact_id, f.step_id, f.round, f.status, a.status AS enrolment_status
FROM finished f LEFT JOIN advanced a ON a.sequence_id = f.sequence_id AND a.contact_id = f.contact_id

-- name: record_feedback
-- Records a provider's report about a mail that it accepted; reporting it again changes nothing.
SELECT record_feedback(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(kind)s, %(detail)s,
    make_interval(secs => %(park_seconds)s), %(pads)s)
