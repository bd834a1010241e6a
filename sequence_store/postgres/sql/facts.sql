-- The facts of mails by planning day (migrations/functions/facts.sql), for the asset mail_facts.

-- name: mark_changed_days
-- Marks the planning days whose facts the events since the last call changed: the day of each mail that they
-- are about, the days on which that mail had an outcome before, and the days of an erased contact's mails.
WITH fresh AS MATERIALIZED (
    SELECT v.sequence_id, v.contact_id, v.step_id, v.round, v.kind
    FROM send_events v, feed f
    WHERE v.position > f.facts_position AND v.position <= f.last_position AND v.contact_id IS NOT NULL
), mails AS (
    SELECT o.sequence_id, o.contact_id, o.step_id, o.round, o.finished_at
    FROM (SELECT DISTINCT sequence_id, contact_id, step_id, round FROM fresh WHERE step_id IS NOT NULL) k
    JOIN mail_outcomes o ON o.sequence_id = k.sequence_id AND o.contact_id = k.contact_id
        AND o.step_id = k.step_id AND o.round = k.round
    UNION
    SELECT o.sequence_id, o.contact_id, o.step_id, o.round, o.finished_at
    FROM (SELECT DISTINCT contact_id FROM fresh WHERE kind = 'contact_erased') k
    JOIN sequences_contacts e ON e.contact_id = k.contact_id
    JOIN mail_outcomes o ON o.sequence_id = e.sequence_id AND o.contact_id = e.contact_id
), instants AS (
    SELECT finished_at AS at FROM mails WHERE finished_at IS NOT NULL
    UNION ALL
    SELECT v.at FROM mails m JOIN send_events v ON v.sequence_id = m.sequence_id
        AND v.contact_id = m.contact_id AND v.step_id = m.step_id AND v.round = m.round
        AND v.kind IN ('sent', 'hard_failed', 'unknown')
), marked AS (
    INSERT INTO fact_days AS d (day, changed_at)
    SELECT DISTINCT (at AT TIME ZONE %(zone)s - %(plan_at)s::interval)::date, statement_timestamp()
    FROM instants
    ON CONFLICT (day) DO UPDATE SET changed_at = coalesce(d.changed_at, excluded.changed_at)
)
UPDATE feed SET facts_position = last_position WHERE facts_position < last_position

-- name: find_changed_days
-- The days that are to be written, the latest first.
SELECT day FROM fact_days WHERE changed_at IS NOT NULL AND day >= %(since)s ORDER BY day DESC

-- name: export_day
-- The facts of a planning day as CSV.
COPY (
    SELECT sequence_id, step_id, step_number, mailbox_id, contact_id, round, plan_day,
        send_day, outcome, reason, smtp_code, enhanced_code, planned_at, sent_at, finished_at,
        lateness_seconds, attempts,
        first_opened_at, opens, first_clicked_at, clicks, machine_opened_at, machine_opens,
        machine_clicked_at, machine_clicks, replied_at, auto_replied_at, bounced_at, bounce_kind,
        complained_at, unsubscribed_at, is_first_mail
    FROM mail_facts WHERE finished_at >= %(begins)s AND finished_at < %(ends)s
        AND planned_at >= earliest_planned(%(begins)s, %(ends)s) AND planned_at < %(ends)s
    ORDER BY finished_at
) TO STDOUT (FORMAT csv, HEADER)

-- name: keep_written_day
-- A day was written as it was at `at`; an event after that keeps it marked.
INSERT INTO fact_days AS d (day, written_at, mails) VALUES (%(day)s, %(at)s, %(mails)s)
ON CONFLICT (day) DO UPDATE SET written_at = excluded.written_at, mails = excluded.mails,
    changed_at = CASE WHEN d.changed_at > excluded.written_at THEN d.changed_at END

-- name: find_comparable_days
-- The days whose files are current: written, and changed by no event since, one without a position included.
SELECT d.day FROM fact_days d
WHERE d.written_at IS NOT NULL AND d.changed_at IS NULL AND d.day >= %(since)s
    AND NOT EXISTS (SELECT FROM send_events v JOIN mail_outcomes o ON o.sequence_id = v.sequence_id
            AND o.contact_id = v.contact_id AND o.step_id = v.step_id AND o.round = v.round
        WHERE v.position IS NULL
            AND (o.finished_at AT TIME ZONE %(zone)s - %(plan_at)s::interval)::date = d.day)
    AND NOT EXISTS (SELECT FROM send_events v WHERE v.position IS NULL
        AND (v.at AT TIME ZONE %(zone)s - %(plan_at)s::interval)::date = d.day)
ORDER BY d.day

-- name: count_day
-- What the ledger has of a day.
SELECT count(*) AS mails, count(*) FILTER (WHERE outcome = 'sent') AS sent,
    count(*) FILTER (WHERE outcome = 'unknown') AS unknown,
    count(*) FILTER (WHERE outcome = 'hard_failed') AS hard_failed, count(contact_id) AS contacts,
    count(first_opened_at) AS opened, count(first_clicked_at) AS clicked,
    coalesce(sum(opens + clicks + machine_opens + machine_clicks), 0)::bigint AS fetches,
    count(replied_at) AS replied, count(bounced_at) AS bounced, count(complained_at) AS complained,
    count(unsubscribed_at) AS unsubscribed
FROM mail_facts WHERE finished_at >= %(begins)s AND finished_at < %(ends)s
    AND planned_at >= earliest_planned(%(begins)s, %(ends)s) AND planned_at < %(ends)s

-- name: find_old_days
SELECT day FROM fact_days WHERE day < %(before)s AND written_at IS NOT NULL ORDER BY day

-- name: forget_day
DELETE FROM fact_days WHERE day = %(day)s
