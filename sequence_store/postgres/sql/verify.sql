-- name: read_sends
-- Rows of the ledger in order of send_at, with what the invariants need; the columns are those of
-- invariants.Send.
SELECT s.sequence_id, s.contact_id, s.step_id, s.round, s.mailbox_id, s.plan_day, s.send_day, s.send_at,
    s.not_after, s.status, s.attempt, s.reason, s.smtp_reply, s.dispatched_at, s.lease_until,
    s.transmitting_at, s.finished_at, s.advanced_at, s.claim IS NOT NULL, st.step_number, st.updated,
    e.round, e.current_step, e.last_send, x.at, a.status, coalesce(m.min_gap_seconds, 0), m.updated,
    coalesce(v.sent, 0)::integer, coalesce(v.retry, 0)::integer,
    -- When a reply or an opt-out stopped it, and when it was held on its date.
    least(c.stopped_at,
        CASE WHEN q.reply_stops <> 'sequence' AND e.round = s.round AND e.enrolled_at < c.reply_stopped_at
            THEN c.reply_stopped_at END,
        CASE WHEN q.reply_stops <> 'sequence' THEN (SELECT min(z.at) FROM company_stops z
            WHERE z.mail_domain = mail_domain(c.mail_address)) END),
    CASE WHEN s.send_day BETWEEN c.hold_from AND c.hold_until THEN c.held_at END
FROM sends s
LEFT JOIN sequences q ON q.id = s.sequence_id
LEFT JOIN steps st ON st.id = s.step_id
LEFT JOIN sequences_contacts e ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id
LEFT JOIN contacts c ON c.id = s.contact_id
LEFT JOIN suppressions x ON x.address_hmac = c.address_hmac
    AND is_in_force(x.until, coalesce(s.transmitting_at, s.send_at))
LEFT JOIN archived_sends a ON a.sequence_id = s.sequence_id AND a.contact_id = s.contact_id
    AND a.step_id = s.step_id AND a.round = s.round
LEFT JOIN mailboxes m ON m.id = s.mailbox_id
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE d.detail->>'as' = 'sent') AS sent,
        count(*) FILTER (WHERE d.detail->>'as' = 'retry') AS retry
    FROM send_events d
    WHERE (s.attempt > 1 OR s.reason = 'resolved')
        AND d.sequence_id = s.sequence_id AND d.contact_id = s.contact_id AND d.step_id = s.step_id
        AND d.round = s.round AND d.kind = 'resolved') v ON true
WHERE s.send_at >= %(since)s AND s.send_at < %(until)s
ORDER BY s.send_at

-- name: count_sends
-- How many rows there are, for the progress bar.
SELECT count(*) FROM sends WHERE send_at >= %(since)s AND send_at < %(until)s

-- name: read_mailbox_days
-- The counts of the local days that these sends can have.
SELECT d.mailbox_id, d.send_day, d.allowed, m.send_limit, d.used, d.last_at, m.updated
FROM mailbox_days d JOIN mailboxes m ON m.id = d.mailbox_id
WHERE d.send_day BETWEEN (%(since)s::timestamptz)::date - 1 AND (%(until)s::timestamptz)::date + 1

-- name: read_pauses
-- The times in which all sending was paused.
SELECT paused_at, resumed_at FROM pauses ORDER BY id
