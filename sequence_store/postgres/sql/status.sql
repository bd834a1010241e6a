-- name: count_sends_of_day
-- The sends of a planning day by status and reason.
SELECT status, coalesce(reason, '') AS reason, count(*),
    min(send_at) FILTER (WHERE send_at > %(now)s) AS next_at
FROM sends WHERE send_at >= %(begins)s AND plan_day = %(day)s GROUP BY 1, 2 ORDER BY 1, 2

-- name: find_late
-- Sends that are late, and since when: not dispatched, not mailed, not advanced, unknown.
SELECT count(*) FILTER (WHERE status = 'planned') AS undispatched,
    min(send_at) FILTER (WHERE status = 'planned') AS undispatched_since,
    count(*) FILTER (WHERE status IN ('dispatched', 'claimed', 'transmitting')) AS unsent,
    min(send_at) FILTER (WHERE status IN ('dispatched', 'claimed', 'transmitting')) AS unsent_since,
    count(*) FILTER (WHERE status IN ('sent', 'hard_failed')) AS unadvanced,
    min(finished_at) FILTER (WHERE status IN ('sent', 'hard_failed')) AS unadvanced_since,
    count(*) FILTER (WHERE status = 'unknown') AS unknown,
    min(finished_at) FILTER (WHERE status = 'unknown') AS unknown_since
FROM sends WHERE send_at >= %(since)s AND send_at <= %(now)s AND advanced_at IS NULL
    AND status NOT IN ('cancelled', 'expired')

-- name: count_waiting
-- Due contacts that the latest plan deferred, by reason.
SELECT reason, count(*) FROM plan_deferrals GROUP BY reason ORDER BY 2 DESC, 1

-- name: count_mailboxes
-- How many mailboxes are active, and how much of the day's limits is used.
SELECT count(*) FILTER (WHERE m.is_active) AS active,
    coalesce(sum(d.allowed), 0)::bigint AS allowed, coalesce(sum(d.used), 0)::bigint AS used
FROM mailboxes m LEFT JOIN mailbox_days d ON d.mailbox_id = m.id AND d.send_day = %(day)s
WHERE m.deleted_at IS NULL

-- name: read_parked
-- Parked mailboxes, and why.
SELECT address, parked_until, coalesce(parked_reason, '') AS reason FROM mailboxes
WHERE deleted_at IS NULL AND is_active AND parked_until > %(now)s ORDER BY parked_until, address

-- name: count_worker_connections
-- Connections of workers; every role sees the names of sessions.
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'step_mailing_worker'

-- name: read_contact
-- The contact of an address (one that is not deleted comes first), and whether the address is suppressed.
SELECT c.id, c.external_id, c.name, c.mail_address, c.mail_address_written, c.is_active, c.created,
    c.deleted_at, c.replied_at, c.stopped_at, c.stopped_reason, c.hold_from, c.hold_until, c.hold_reason,
    s.reason AS suppressed, s.at AS suppressed_at, s.until AS suppressed_until
FROM contacts c LEFT JOIN suppressions s ON s.address_hmac = hmac_of_contact(c, %(pads)s)
    AND is_in_force(s.until, clock_timestamp())
WHERE lower(c.mail_address) = lower(%(address)s) ORDER BY c.deleted_at DESC NULLS FIRST LIMIT 1

-- name: read_suppression
-- Why an address is suppressed; also for an address that no contact has.
SELECT reason, at, until FROM suppressions
WHERE address_hmac = address_hmac(%(address)s, %(pads)s) AND is_in_force(until, clock_timestamp())

-- name: read_enrolments_of_contact
-- A contact's enrolments: the next step, the send in progress if there is one, and why the contact waits.
SELECT q.sequence_name AS sequence, q.is_active AND q.deleted_at IS NULL AS sequence_active, e.status,
    e.status_reason, e.round, e.current_step, e.next_send, e.last_send, m.address AS mailbox,
    n.step_number AS due_step,
    x.status AS send_status, x.send_at, x.advanced_at, x.sender, x.step_number AS send_step, x.contact_id,
    x.step_id, p.reason AS waits, p.plan_day AS waits_since_plan
FROM sequences_contacts e
JOIN sequences q ON q.id = e.sequence_id
LEFT JOIN mailboxes m ON m.id = e.mailbox_id
LEFT JOIN plan_deferrals p ON p.sequence_id = e.sequence_id AND p.contact_id = e.contact_id
LEFT JOIN LATERAL next_live_step(e.sequence_id, e.current_step) n ON true
LEFT JOIN LATERAL (
    SELECT s.status, s.send_at, s.advanced_at, s.contact_id, s.step_id, b.address AS sender, st.step_number
    FROM sends s JOIN steps st ON st.id = s.step_id LEFT JOIN mailboxes b ON b.id = s.mailbox_id
    WHERE s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id AND s.round = e.round
        AND s.advanced_at IS NULL AND s.status NOT IN ('cancelled', 'expired')
    ORDER BY s.send_at DESC LIMIT 1) x ON true
WHERE e.contact_id = %(contact_id)s ORDER BY q.sequence_name

-- name: read_sends_of_contact
-- All sends of a contact, archived ones too, the latest first.
SELECT s.send_at, q.sequence_name AS sequence, st.step_number AS step, s.round, m.address AS mailbox,
    s.status, s.reason, s.attempt, s.finished_at, s.smtp_code
FROM sequences_contacts e
JOIN LATERAL (
    SELECT step_id, round, mailbox_id, send_at, status, reason, attempt, finished_at, smtp_code FROM sends x
    WHERE x.sequence_id = e.sequence_id AND x.contact_id = e.contact_id
    UNION ALL
    SELECT step_id, round, mailbox_id, send_at, status, reason, attempt, finished_at, smtp_code
    FROM archived_sends x
    WHERE x.sequence_id = e.sequence_id AND x.contact_id = e.contact_id) s ON true
JOIN sequences q ON q.id = e.sequence_id
LEFT JOIN steps st ON st.id = s.step_id
LEFT JOIN mailboxes m ON m.id = s.mailbox_id
WHERE e.contact_id = %(contact_id)s ORDER BY s.send_at DESC, 2, 3 LIMIT %(limit)s

-- name: read_events_of_contact
-- Events of a contact's sends that the sends and enrolments do not show themselves, the latest first.
SELECT v.at, v.kind, q.sequence_name AS sequence, st.step_number AS step, v.actor, v.detail
FROM sequences_contacts e
JOIN send_events v ON v.sequence_id = e.sequence_id AND v.contact_id = e.contact_id
JOIN sequences q ON q.id = e.sequence_id
LEFT JOIN steps st ON st.id = v.step_id
WHERE e.contact_id = %(contact_id)s AND v.kind NOT IN ('sent', 'hard_failed', 'unknown', 'completed')
ORDER BY v.at DESC, v.id DESC LIMIT %(limit)s

-- name: count_outcomes
-- What came of the mails of the last seven days, by the day of the mail.
SELECT coalesce(sum(mails), 0)::bigint AS mails, coalesce(sum(opened), 0)::bigint AS opened,
    coalesce(sum(clicked), 0)::bigint AS clicked, coalesce(sum(replied), 0)::bigint AS replied,
    coalesce(sum(bounced), 0)::bigint AS bounced, coalesce(sum(complained), 0)::bigint AS complained,
    coalesce(sum(unsubscribed), 0)::bigint AS unsubscribed
FROM outcome_days WHERE grain = 'step' AND send_day > %(day)s::date - 7 AND send_day <= %(day)s::date + 1

-- name: count_feed
-- Events that have no position yet, how long the oldest of them waits, and webhooks that fail or are off.
SELECT count(*) AS waiting,
    coalesce(extract(epoch FROM %(now)s::timestamptz - min(at)), 0)::float8 AS oldest_seconds,
    (SELECT count(*) FROM webhooks WHERE deleted_at IS NULL AND (failing_since IS NOT NULL
        OR switched_off_at IS NOT NULL)) AS failing_webhooks
FROM send_events WHERE position IS NULL
