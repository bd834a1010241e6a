-- name: count_programs
-- Connections of workers, pipelines and API, which must be stopped while the database is guarded.
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename IN ('sequence_worker', 'sequence_pipeline', 'sequence_api')

-- name: create_evidence
-- Sends that are known to have gone out since the snapshot.
CREATE TEMPORARY TABLE evidence (
    sequence_id bigint, contact_id bigint, step_id bigint, round smallint, outcome text,
    PRIMARY KEY (sequence_id, contact_id, step_id, round)) ON COMMIT DROP

-- name: enter_evidence
INSERT INTO evidence VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING

-- name: spend_live
-- Finishes rows that are live in the snapshot: with the known outcome, or as unknown if their time has
-- passed or a later plan may have moved them. An old send_at is moved to where the sweep finds it.
UPDATE sends s SET status = coalesce(k.outcome, 'unknown'), reason = 'restored',
    finished_at = clock_timestamp(), claim = NULL, lease_until = NULL,
    send_at = greatest(s.send_at, clock_timestamp() - interval '1 day')
FROM sends x LEFT JOIN evidence k USING (sequence_id, contact_id, step_id, round)
WHERE (x.sequence_id, x.contact_id, x.step_id, x.round) = (s.sequence_id, s.contact_id, s.step_id, s.round)
    AND ((s.status IN ('planned', 'dispatched', 'claimed', 'transmitting')
            AND (k.outcome IS NOT NULL
                OR NOT %(complete)s AND (NOT %(keep_places)s OR s.send_at <= clock_timestamp())))
        OR (s.status = 'unknown' AND s.advanced_at IS NULL AND k.outcome IS NOT NULL))
RETURNING s.status

-- name: spend_due
-- Spends steps that may have been planned and mailed since the snapshot and have no row in it, or a
-- reusable one: each live step that would be due by now if every step before it had been mailed on its
-- first day. And all evidence. Days are dates of mails, on the clocks of the mailboxes that the enrolment
-- may use: those from first_date to last_date have passed since the snapshot. day_shift: from a planning day
-- to the date on which it starts there. A window over midnight begins on the date before.
WITH RECURSIVE clocks AS MATERIALIZED (
    SELECT m.id AS mailbox_id, (%(since)s::timestamptz AT TIME ZONE n.west)::date - n.over AS first_date,
        (clock_timestamp() AT TIME ZONE n.east)::date AS last_date,
        (%(since_day_starts)s::timestamptz AT TIME ZONE n.west)::date - n.over - %(since_day)s AS day_shift
    FROM mailboxes m
    LEFT JOIN pg_timezone_names z ON z.name = m.time_zone
    CROSS JOIN LATERAL (
        SELECT coalesce(z.name, 'Etc/GMT+12') AS west, coalesce(z.name, 'Etc/GMT-14') AS east,
            (m.send_end_time <= m.send_start_time AND m.send_end_time > '00:00')::integer AS over) n
), routes AS MATERIALIZED (
    SELECT sm.sequence_id, min(c.first_date) AS first_date, max(c.last_date) AS last_date,
        min(c.day_shift) AS day_shift, max(c.day_shift) AS largest_shift
    FROM sequences_mailboxes sm JOIN clocks c USING (mailbox_id)
    GROUP BY sm.sequence_id
), reach AS (
    SELECT e.sequence_id, e.contact_id, e.round, st.step_id, st.step_number, c.last_date,
        least(s.send_day, greatest(c.first_date, e.next_send + c.day_shift)) AS day
    FROM sequences_contacts e
    LEFT JOIN clocks p ON p.mailbox_id = e.mailbox_id
    LEFT JOIN routes r ON r.sequence_id = e.sequence_id
    CROSS JOIN LATERAL (SELECT is_follow_up(e.last_send, e.mailbox_id) AS follow_up) f
    CROSS JOIN LATERAL (
        SELECT least(p.first_date, r.first_date) AS first_date,
            greatest(p.last_date, r.last_date, CASE WHEN f.follow_up THEN
                (clock_timestamp() AT TIME ZONE make_interval(mins => e.last_offset))::date END) AS last_date,
            -- The date of a follow-up is the mailbox's already; another mailbox's may be earlier.
            least(p.day_shift, r.day_shift)
                - CASE WHEN f.follow_up THEN greatest(p.day_shift, r.largest_shift) ELSE 0 END AS day_shift
        ) c
    CROSS JOIN LATERAL next_live_step(e.sequence_id, e.current_step) st
    LEFT JOIN sends s ON s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id
        AND s.step_id = st.step_id AND s.round = e.round AND s.status NOT IN ('cancelled', 'expired')
    WHERE e.status IN ('active', 'paused')
        AND e.next_send <= CASE WHEN f.follow_up THEN c.last_date ELSE %(today)s END
    UNION ALL
    SELECT r.sequence_id, r.contact_id, r.round, st.step_id, st.step_number, r.last_date,
        next_send_after(r.day, st.delay_days)
    FROM reach r
    CROSS JOIN LATERAL next_live_step(r.sequence_id, r.step_number::bigint + 1) st
    WHERE next_send_after(r.day, st.delay_days) <= r.last_date
), spent AS (
    SELECT sequence_id, contact_id, round, step_id, coalesce(r.day, %(today)s) AS day,
        coalesce(k.outcome, 'unknown') AS outcome
    FROM (SELECT * FROM reach WHERE NOT %(complete)s AND NOT %(keep_places)s) r
    FULL JOIN evidence k USING (sequence_id, contact_id, step_id, round)
)
INSERT INTO sends AS s (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day,
    send_at, not_after, status, reason, finished_at)
SELECT p.sequence_id, p.contact_id, p.step_id, p.round,
    coalesce(e.mailbox_id, m.ids[1 + p.contact_id %% cardinality(m.ids)]), p.day, p.day, p.day,
    clock_timestamp(), clock_timestamp(), p.outcome, 'restored', clock_timestamp()
FROM spent p
JOIN sequences_contacts e
    ON e.sequence_id = p.sequence_id AND e.contact_id = p.contact_id AND e.round = p.round
JOIN steps st ON st.id = p.step_id AND st.sequence_id = p.sequence_id
CROSS JOIN LATERAL (
    SELECT array_agg(mailbox_id ORDER BY mailbox_id) AS ids FROM sequences_mailboxes
    WHERE sequence_id = p.sequence_id) m
WHERE e.mailbox_id IS NOT NULL OR m.ids IS NOT NULL
ON CONFLICT (sequence_id, contact_id, step_id, round) DO UPDATE SET
    status = excluded.status, reason = excluded.reason, finished_at = excluded.finished_at,
    plan_day = excluded.plan_day, send_day = excluded.send_day, send_at = excluded.send_at,
    not_after = excluded.not_after
    WHERE s.status IN ('cancelled', 'expired')
RETURNING s.status

-- name: end_bounced
-- Ends enrolments that are known to have bounced since the snapshot, and suppresses their addresses.
WITH bounced AS (
    UPDATE sequences_contacts e SET status = 'bounced', status_reason = 'restored', next_send = NULL
    FROM evidence k
    WHERE k.outcome = 'hard_failed' AND e.sequence_id = k.sequence_id AND e.contact_id = k.contact_id
        AND e.round = k.round AND e.status IN ('active', 'paused')
    RETURNING e.contact_id)
SELECT enter_suppression(a.hmac, 'hard_bounce', clock_timestamp(), NULL) FROM (
    SELECT DISTINCT hmac_of_contact(c, %(pads)s) AS hmac
    FROM bounced b JOIN contacts c ON c.id = b.contact_id) a

-- name: count_days
-- Counts against a mailbox's day every mail that may have gone out.
INSERT INTO mailbox_days AS d (mailbox_id, send_day, allowed, used)
SELECT s.mailbox_id, s.send_day, max(m.send_limit), count(*)
FROM sends s JOIN mailboxes m ON m.id = s.mailbox_id
WHERE s.status IN ('sent', 'unknown') AND s.send_at >= %(since)s::timestamptz - interval '1 day'
GROUP BY s.mailbox_id, s.send_day
ON CONFLICT (mailbox_id, send_day) DO UPDATE SET used = greatest(d.used, excluded.used)

-- name: skip_ids
-- Rows entered after the snapshot are lost, but mails contain their ids; new rows must not reuse them.
SELECT setval(pg_get_serial_sequence(name, 'id'), nextval(pg_get_serial_sequence(name, 'id')) + 1000000)
FROM unnest(ARRAY['contacts', 'sequences', 'steps', 'mailboxes']) name

-- name: record_outcomes
-- The guarded sends got their outcome by INSERT, which no trigger records. In order of occurrence; the sort
-- also keeps the look-up from reading the rows that this statement inserts.
INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind)
SELECT s.sequence_id, s.contact_id, s.step_id, s.round, coalesce(s.finished_at, clock_timestamp()), s.status
FROM sends s
WHERE s.send_at >= %(since)s::timestamptz - interval '1 day'
    AND s.status IN ('sent', 'hard_failed', 'unknown')
    AND NOT EXISTS (SELECT FROM send_events v WHERE v.sequence_id = s.sequence_id
        AND v.contact_id = s.contact_id AND v.step_id = s.step_id AND v.round = s.round AND v.kind = s.status)
ORDER BY coalesce(s.finished_at, clock_timestamp()), s.contact_id

-- name: skip_positions
-- The events of the lost time had positions that readers and webhooks have stored: later events get none of
-- them. A reader that goes on from such a position misses nothing.
UPDATE feed SET last_position = last_position + 1000000000

-- name: mark_days
-- The files of the facts may show mails of the lost time: they are written again.
INSERT INTO fact_days AS d (day, changed_at)
SELECT day::date, clock_timestamp()
FROM generate_series(%(since_day)s::date, %(today)s::date, interval '1 day') day
ON CONFLICT (day) DO UPDATE SET changed_at = excluded.changed_at

-- name: record_guard
INSERT INTO send_events (kind, detail) VALUES ('restored', %s)
