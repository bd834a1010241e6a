-- Reports of today's mails.

-- name: count_today
-- The mails that finished in a planning day, what came of them, and the sends of that day that are to come.
SELECT count(*) FILTER (WHERE f.outcome = 'sent') AS sent,
    count(*) FILTER (WHERE f.outcome = 'unknown') AS unknown,
    count(*) FILTER (WHERE f.outcome = 'hard_failed') AS hard_failed,
    count(f.first_opened_at) AS opened, count(f.first_clicked_at) AS clicked, count(f.replied_at) AS replied,
    count(f.bounced_at) FILTER (WHERE f.bounce_kind = 'hard') AS bounced,
    count(f.complained_at) AS complained, count(f.unsubscribed_at) AS unsubscribed,
    (SELECT count(*) FROM sends s WHERE s.send_at >= %(begins)s AND s.send_at < %(ends)s
        AND s.status IN ('planned', 'dispatched', 'claimed', 'transmitting')) AS still_to_send,
    coalesce(round((percentile_cont(0.95) WITHIN GROUP (ORDER BY f.lateness_seconds))::numeric, 1), 0)::float8
        AS late_seconds_p95
FROM mail_facts f WHERE f.finished_at >= %(begins)s AND f.finished_at < %(ends)s
    AND f.planned_at >= earliest_planned(%(begins)s, %(ends)s) AND f.planned_at < %(ends)s

-- name: count_today_by_sequence
SELECT f.sequence_id::text, count(*) FILTER (WHERE f.outcome = 'sent') AS sent,
    count(*) FILTER (WHERE f.outcome = 'unknown') AS unknown,
    count(*) FILTER (WHERE f.outcome = 'hard_failed') AS hard_failed, count(f.replied_at) AS replied
FROM mail_facts f WHERE f.finished_at >= %(begins)s AND f.finished_at < %(ends)s
    AND f.planned_at >= earliest_planned(%(begins)s, %(ends)s) AND f.planned_at < %(ends)s
GROUP BY f.sequence_id ORDER BY 2 DESC, 1
