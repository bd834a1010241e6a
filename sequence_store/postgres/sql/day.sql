-- name: read_progress
-- The state of this planning day's sends, and when the next one leaves.
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
-- Mails sent between two times; how many of them have not been advanced; and how many mails are planned for
-- that time and have no outcome yet.
SELECT count(*) FILTER (WHERE status = 'sent' AND finished_at <= %(until)s) AS sent,
    count(*) FILTER (WHERE status = 'sent' AND finished_at <= %(until)s AND advanced_at IS NULL) AS waiting,
    count(*) FILTER (
        WHERE status IN ('planned', 'dispatched', 'claimed', 'transmitting') AND send_at <= %(until)s
    ) AS unfinished
FROM sends WHERE send_at >= %(since)s

-- name: read_broken_promises
-- Mails that were planned for a time between two, and were neither sent nor cancelled.
SELECT lower(c.mail_address) AS recipient, s.send_at, s.status, s.reason
FROM sends s JOIN contacts c ON c.id = s.contact_id
WHERE s.send_at >= %(since)s AND s.send_at <= %(until)s AND s.status <> 'sent' AND s.status <> 'cancelled'
ORDER BY s.send_at, s.contact_id

-- name: read_waiting
-- Due contacts that were deferred, by reason.
SELECT reason, count(*) FROM plan_deferrals WHERE plan_day = %(day)s GROUP BY reason ORDER BY 2 DESC, 1

-- name: read_mailboxes
-- The ten mailboxes with the most sends. A mailbox far from the pipeline's zone has sends on two local
-- days: their limits are added up.
SELECT m.address,
    to_char(m.send_start_time, 'HH24:MI') || '–' || to_char(m.send_end_time, 'HH24:MI') AS opens,
    m.time_zone,
    sum(s.planned)::bigint AS planned, sum(coalesce(d.allowed, m.send_limit))::bigint AS allowed
FROM (
    SELECT mailbox_id, send_day, count(*) AS planned FROM sends
    WHERE send_at >= %(begins)s AND plan_day = %(day)s AND status NOT IN ('cancelled', 'expired')
    GROUP BY mailbox_id, send_day) s
JOIN mailboxes m ON m.id = s.mailbox_id
LEFT JOIN mailbox_days d ON d.mailbox_id = s.mailbox_id AND d.send_day = s.send_day
GROUP BY m.id ORDER BY planned DESC, m.address LIMIT 10

-- name: read_next_sends
-- The next sends.
SELECT s.send_at, q.sequence_name, st.step_number, m.address
FROM sends s
JOIN sequences q ON q.id = s.sequence_id
JOIN steps st ON st.id = s.step_id
JOIN mailboxes m ON m.id = s.mailbox_id
WHERE s.send_at >= %(begins)s AND s.status IN ('planned', 'dispatched')
ORDER BY s.send_at, s.contact_id LIMIT 10

-- name: read_planned_mails
-- Mails that were transmitted since a time, their outcome, and the step that has to come next.
SELECT lower(c.mail_address) AS recipient, m.address AS mailbox, s.send_at, s.status, s.finished_at,
    s.advanced_at IS NOT NULL AS advanced, e.status AS enrolment_status, e.current_step, e.next_send,
    e.last_send, s.send_day, st.step_number, n.step_number AS next_step,
    next_send_after(s.send_day, n.delay_days) AS next_day
FROM sends s
JOIN contacts c ON c.id = s.contact_id
JOIN mailboxes m ON m.id = s.mailbox_id
JOIN steps st ON st.id = s.step_id
JOIN sequences_contacts e
    ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
LEFT JOIN LATERAL next_live_step(s.sequence_id, st.step_number::bigint + 1) n ON true
WHERE s.transmitting_at >= %(since)s
