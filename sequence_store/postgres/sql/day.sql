-- name: read_progress
-- Where the sends of this planning day are, and when the next leaves.
SELECT
    count(*) FILTER (WHERE status = 'planned') AS planned,
    count(*) FILTER (WHERE status = 'dispatched') AS dispatched,
    count(*) FILTER (WHERE status IN ('claimed', 'transmitting')) AS under_way,
    count(*) FILTER (WHERE status = 'sent') AS sent,
    count(*) FILTER (WHERE advanced_at IS NOT NULL) AS advanced,
    count(*) FILTER (WHERE status IN ('hard_failed', 'unknown')) AS failed,
    count(*) FILTER (WHERE status IN ('cancelled', 'expired')) AS withdrawn,
    min(send_at) FILTER (WHERE status IN ('planned', 'dispatched')) AS next_at
FROM sends WHERE send_at >= %(begins)s AND plan_day = %(day)s

-- name: count_sent
-- What went out between two moments, and how much of it has not been advanced.
SELECT count(*) AS sent, count(*) FILTER (WHERE advanced_at IS NULL) AS waiting FROM sends
WHERE send_at >= %(since)s AND status = 'sent' AND finished_at <= %(until)s

-- name: read_waiting
-- Why due contacts wait.
SELECT reason, count(*) FROM plan_deferrals WHERE plan_day = %(day)s GROUP BY reason ORDER BY 2 DESC, 1

-- name: read_mailboxes
-- The ten mailboxes with the most to do; the limits of one that is far from the pipeline's zone are those of two local days.
SELECT m.address, to_char(m.send_start_time, 'HH24:MI') || '–' || to_char(m.send_end_time, 'HH24:MI') AS opens,
    m.time_zone, sum(s.planned)::bigint AS planned, sum(coalesce(d.allowed, m.send_limit))::bigint AS allowed
FROM (
    SELECT mailbox_id, send_day, count(*) AS planned FROM sends
    WHERE send_at >= %(begins)s AND plan_day = %(day)s AND status NOT IN ('cancelled', 'expired')
    GROUP BY mailbox_id, send_day) s
JOIN mailboxes m ON m.id = s.mailbox_id
LEFT JOIN mailbox_days d ON d.mailbox_id = s.mailbox_id AND d.send_day = s.send_day
GROUP BY m.id ORDER BY planned DESC, m.address LIMIT 10

-- name: read_next_sends
-- What leaves next.
SELECT s.send_at, q.sequence_name, st.step_number, m.address
FROM sends s
JOIN sequences q ON q.id = s.sequence_id
JOIN steps st ON st.id = s.step_id
JOIN mailboxes m ON m.id = s.mailbox_id
WHERE s.send_at >= %(begins)s AND s.status IN ('planned', 'dispatched')
ORDER BY s.send_at, s.contact_id LIMIT 10

-- name: read_planned_mails
-- What was to be mailed since a moment and what became of it, with the step that has to come next.
SELECT lower(c.mail_address) AS recipient, m.address AS mailbox, s.send_at, s.status, s.finished_at,
    s.advanced_at IS NOT NULL AS advanced, e.status AS enrolment_status, e.current_step, e.next_send, e.last_send,
    s.plan_day, st.step_number, n.step_number AS next_step, s.plan_day + n.delay_days AS next_day
FROM sends s
JOIN contacts c ON c.id = s.contact_id
JOIN mailboxes m ON m.id = s.mailbox_id
JOIN steps st ON st.id = s.step_id
JOIN sequences_contacts e ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
LEFT JOIN LATERAL (
    SELECT step_number, delay_days FROM steps
    WHERE sequence_id = s.sequence_id AND deleted_at IS NULL AND step_number > st.step_number
    ORDER BY step_number LIMIT 1) n ON true
WHERE s.transmitting_at >= %(since)s
