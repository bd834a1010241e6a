-- name: find_broken_promises
-- What must never happen, counted from the mails of one planning day: anything but zeros is a bug or a changed limit.
WITH mailed AS MATERIALIZED (
    SELECT s.contact_id, s.plan_day, s.send_at, s.not_after, s.status, s.transmitting_at, s.advanced_at, s.finished_at
    FROM sends s
    WHERE s.send_at >= %(since)s AND s.status IN ('transmitting', 'sent', 'unknown'))
SELECT
    (SELECT count(*) FROM mailbox_days d WHERE d.send_day >= %(day)s AND d.used > d.allowed) AS over_limit,
    (SELECT count(*) FROM mailed WHERE transmitting_at < send_at OR transmitting_at > not_after) AS out_of_time,
    (SELECT count(*) FROM (SELECT FROM mailed WHERE plan_day = %(day)s GROUP BY contact_id HAVING count(*) > 1) t)
        AS mailed_twice,
    (SELECT count(*) FROM mailed m JOIN contacts c ON c.id = m.contact_id
        JOIN suppressions x ON x.address_hmac = c.address_hmac AND x.at < m.transmitting_at) AS mailed_after_the_end,
    (SELECT count(*) FROM mailed WHERE status = 'sent' AND advanced_at IS NULL
        AND finished_at < clock_timestamp() - interval '1 hour') AS not_advanced

-- name: count_setbacks
-- Mails of the last week and of the three weeks before, and the bounces and complaints that came back in them.
WITH mails AS (
    SELECT coalesce(sum(used) FILTER (WHERE send_day > %(day)s - 7), 0) AS lately,
        coalesce(sum(used) FILTER (WHERE send_day <= %(day)s - 7), 0) AS before
    FROM mailbox_days WHERE send_day > %(day)s - 28 AND send_day <= %(day)s)
SELECT mails.lately::bigint AS mails, mails.before::bigint AS mails_before,
    count(*) FILTER (WHERE b.kind = 'bounce' AND b.at > %(now)s - interval '7 days') AS bounces,
    count(*) FILTER (WHERE b.kind = 'bounce' AND b.at <= %(now)s - interval '7 days') AS bounces_before,
    count(*) FILTER (WHERE b.kind = 'complaint' AND b.at > %(now)s - interval '7 days') AS complaints
FROM mails LEFT JOIN setbacks b ON b.at > %(now)s - interval '28 days' AND b.at <= %(now)s
GROUP BY mails.lately, mails.before
