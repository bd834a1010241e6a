-- Counts of what came of the mails, from the roll-ups. The days are those of the mails. The rows of months
-- count from the first one that begins at `from` or later to the last one that ends at `to` or before.

-- name: by_sequence
SELECT q.external_id AS sequence_id, q.sequence_name, c.*
FROM (
    SELECT sequence_id AS id, sum(mails)::bigint AS mails, sum(sent)::bigint AS sent,
        sum(unknown)::bigint AS unknown, sum(hard_failed)::bigint AS hard_failed,
        sum(opened)::bigint AS opened, sum(clicked)::bigint AS clicked,
        sum(machine_opened)::bigint AS machine_opened, sum(machine_clicked)::bigint AS machine_clicked,
        sum(replied)::bigint AS replied, sum(bounced)::bigint AS bounced,
        sum(complained)::bigint AS complained, sum(unsubscribed)::bigint AS unsubscribed,
        sum(enrolments)::bigint AS enrolments, sum(enrolments_replied)::bigint AS enrolments_replied
    FROM outcome_days
    WHERE (grain = 'step' AND send_day BETWEEN %(from)s AND %(to)s
            AND (send_day < date_trunc('month', %(from)s::date + interval '1 month' - interval '1 day')
                OR send_day >= date_trunc('month', %(to)s::date + 1))
        OR grain = 'step_month'
            AND send_day >= date_trunc('month', %(from)s::date + interval '1 month' - interval '1 day')
            AND send_day < date_trunc('month', %(to)s::date + 1))
        AND (%(sequence)s::bigint IS NULL OR sequence_id = %(sequence)s)
    GROUP BY 1) c
JOIN sequences q ON q.id = c.id ORDER BY c.mails DESC, c.id LIMIT %(most)s

-- name: by_step
SELECT q.external_id AS sequence_id, q.sequence_name, st.external_id AS step_id, st.step_number, c.*
FROM (
    SELECT sequence_id AS sequence, step_id AS id, sum(mails)::bigint AS mails, sum(sent)::bigint AS sent,
        sum(unknown)::bigint AS unknown, sum(hard_failed)::bigint AS hard_failed,
        sum(opened)::bigint AS opened, sum(clicked)::bigint AS clicked,
        sum(machine_opened)::bigint AS machine_opened, sum(machine_clicked)::bigint AS machine_clicked,
        sum(replied)::bigint AS replied, sum(bounced)::bigint AS bounced,
        sum(complained)::bigint AS complained, sum(unsubscribed)::bigint AS unsubscribed,
        sum(enrolments)::bigint AS enrolments, sum(enrolments_replied)::bigint AS enrolments_replied
    FROM outcome_days
    WHERE (grain = 'step' AND send_day BETWEEN %(from)s AND %(to)s
            AND (send_day < date_trunc('month', %(from)s::date + interval '1 month' - interval '1 day')
                OR send_day >= date_trunc('month', %(to)s::date + 1))
        OR grain = 'step_month'
            AND send_day >= date_trunc('month', %(from)s::date + interval '1 month' - interval '1 day')
            AND send_day < date_trunc('month', %(to)s::date + 1))
        AND (%(sequence)s::bigint IS NULL OR sequence_id = %(sequence)s)
    GROUP BY 1, 2) c
JOIN sequences q ON q.id = c.sequence LEFT JOIN steps st ON st.id = c.id
ORDER BY q.id, st.step_number, c.id LIMIT %(most)s

-- name: by_mailbox
SELECT m.external_id AS mailbox_id, c.*
FROM (
    SELECT mailbox_id AS id, sum(mails)::bigint AS mails, sum(sent)::bigint AS sent,
        sum(unknown)::bigint AS unknown, sum(hard_failed)::bigint AS hard_failed,
        sum(opened)::bigint AS opened, sum(clicked)::bigint AS clicked,
        sum(machine_opened)::bigint AS machine_opened, sum(machine_clicked)::bigint AS machine_clicked,
        sum(replied)::bigint AS replied, sum(bounced)::bigint AS bounced,
        sum(complained)::bigint AS complained, sum(unsubscribed)::bigint AS unsubscribed,
        sum(enrolments)::bigint AS enrolments, sum(enrolments_replied)::bigint AS enrolments_replied
    FROM outcome_days
    WHERE (grain = CASE WHEN %(sequence)s::bigint IS NULL THEN 'mailbox' ELSE 'sequence_mailbox' END
            AND send_day BETWEEN %(from)s AND %(to)s
            AND (send_day < date_trunc('month', %(from)s::date + interval '1 month' - interval '1 day')
                OR send_day >= date_trunc('month', %(to)s::date + 1))
        OR grain = CASE WHEN %(sequence)s::bigint IS NULL
                THEN 'mailbox_month' ELSE 'sequence_mailbox_month' END
            AND send_day >= date_trunc('month', %(from)s::date + interval '1 month' - interval '1 day')
            AND send_day < date_trunc('month', %(to)s::date + 1))
        AND sequence_id = coalesce(%(sequence)s::bigint, 0)
    GROUP BY 1) c
JOIN mailboxes m ON m.id = c.id ORDER BY c.mails DESC, c.id LIMIT %(most)s

-- name: by_day
-- The latest days, in order.
SELECT * FROM (SELECT send_day AS day, sum(mails)::bigint AS mails, sum(sent)::bigint AS sent,
    sum(unknown)::bigint AS unknown, sum(hard_failed)::bigint AS hard_failed,
    sum(opened)::bigint AS opened, sum(clicked)::bigint AS clicked,
    sum(machine_opened)::bigint AS machine_opened, sum(machine_clicked)::bigint AS machine_clicked,
    sum(replied)::bigint AS replied, sum(bounced)::bigint AS bounced,
    sum(complained)::bigint AS complained, sum(unsubscribed)::bigint AS unsubscribed,
    sum(enrolments)::bigint AS enrolments, sum(enrolments_replied)::bigint AS enrolments_replied
FROM outcome_days WHERE grain = CASE WHEN %(sequence)s::bigint IS NULL THEN 'day' ELSE 'step' END
    AND send_day BETWEEN %(from)s AND %(to)s AND (%(sequence)s::bigint IS NULL OR sequence_id = %(sequence)s)
GROUP BY 1 ORDER BY 1 DESC LIMIT %(most)s) c ORDER BY day
