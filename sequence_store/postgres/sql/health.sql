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
