-- name: count_reputation_events
-- Mails of the last week and of the three weeks before it, with the bounces and complaints of these periods.
WITH mails AS (
    SELECT coalesce(sum(used) FILTER (WHERE send_day > %(day)s - 7), 0) AS lately,
        coalesce(sum(used) FILTER (WHERE send_day <= %(day)s - 7), 0) AS before
    FROM mailbox_days WHERE send_day > %(day)s - 28 AND send_day <= %(day)s)
SELECT mails.lately::bigint AS mails, mails.before::bigint AS mails_before,
    count(*) FILTER (WHERE b.kind = 'bounce' AND b.at > %(now)s - interval '7 days') AS bounces,
    count(*) FILTER (WHERE b.kind = 'bounce' AND b.at <= %(now)s - interval '7 days') AS bounces_before,
    count(*) FILTER (WHERE b.kind = 'complaint' AND b.at > %(now)s - interval '7 days') AS complaints
FROM mails LEFT JOIN reputation_events b ON b.at > %(now)s - interval '28 days' AND b.at <= %(now)s
GROUP BY mails.lately, mails.before
-- name: find_days_with_sends
-- Which of these planning days have a send that was planned on them and has its slot in them.
SELECT d.day
FROM unnest(%(days)s::date[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) d (day, begins, ends)
WHERE EXISTS (SELECT FROM sends s WHERE s.send_at >= d.begins AND s.send_at < d.ends AND s.plan_day = d.day)

-- name: read_mailbox_states
-- The public id, domain and parking of the live mailboxes; no address.
SELECT id AS mailbox_id, external_id::text AS external_id, split_part(address, '@', 2) AS domain,
    CASE WHEN isfinite(parked_until) THEN parked_until END AS parked_until, parked_reason
FROM mailboxes WHERE deleted_at IS NULL ORDER BY id
