-- name: list_replies
-- Enrolments that a reply ended, or whose contact has left its company, latest first.
SELECT coalesce(c.replied_at, c.updated) AS at, c.mail_address AS address, q.sequence_name AS sequence,
    e.status, e.status_reason AS reason, e.round
FROM sequences_contacts e
JOIN contacts c ON c.id = e.contact_id
JOIN sequences q ON q.id = e.sequence_id
WHERE (e.status = 'replied' AND c.replied_at > now() - make_interval(days => %(days)s))
    OR e.status_reason = 'left_company'
ORDER BY at DESC NULLS LAST, address, sequence LIMIT %(limit)s

-- name: undo_replies
-- Resumes the enrolments of an address that a reply ended.
SELECT q.sequence_name, resume_enrolment(e.sequence_id, e.contact_id, %(today)s, 'cli', %(pads)s)
FROM contacts c
JOIN sequences_contacts e ON e.contact_id = c.id
JOIN sequences q ON q.id = e.sequence_id
WHERE lower(c.mail_address) = lower(%(address)s) AND c.deleted_at IS NULL
    AND (e.status = 'replied' OR e.status_reason = 'left_company')
    AND (%(sequence_id)s::bigint IS NULL OR q.id = %(sequence_id)s)
ORDER BY q.sequence_name

-- name: list_opt_outs
-- Contacts that are stopped until a person decides.
SELECT stopped_at, mail_address AS address, stopped_reason AS reason FROM contacts
WHERE stopped_at IS NOT NULL ORDER BY stopped_at, id

-- name: settle_opt_out
SELECT settle_opt_out(c.external_id, %(confirmed)s, 'cli', %(pads)s) FROM contacts c
WHERE lower(c.mail_address) = lower(%(address)s) AND c.stopped_at IS NOT NULL

-- name: read_mails_of_contact
-- The verdicts on the mails that came from a contact or concern its sends, latest first.
SELECT i.at, i.kind, i.verdict, m.address AS mailbox, i.folder, q.sequence_name AS sequence,
    i.detail->>'why' AS why, i.detail->>'until' AS until
FROM inbox_mails i
LEFT JOIN mailboxes m ON m.id = i.mailbox_id
LEFT JOIN sequences q ON q.id = i.sequence_id
WHERE i.contact_id = %(contact_id)s ORDER BY i.at DESC LIMIT %(limit)s

-- name: count_open_questions
-- What a person has to decide, and how long ago the mailbox was read that was read longest ago.
SELECT (SELECT count(*) FROM contacts WHERE stopped_at IS NOT NULL) AS opt_outs,
    (SELECT count(*) FROM sequences_contacts e JOIN contacts c ON c.id = e.contact_id
        WHERE e.status = 'removed' AND e.status_reason = 'left_company') AS left_company,
    count(m.id) AS readable,
    coalesce(max(extract(epoch FROM %(now)s - greatest(p.read_at, m.created))), 0)::float8 AS unread_seconds,
    (array_agg(m.address ORDER BY greatest(p.read_at, m.created)))[1] AS unread_mailbox
FROM mailboxes m
LEFT JOIN LATERAL (SELECT min(read_at) AS read_at FROM inbox_positions i
    WHERE i.mailbox_id = m.id AND i.read_at > %(now)s - interval '7 days') p ON true
WHERE m.deleted_at IS NULL AND m.is_active AND m.imap_host IS NOT NULL AND m.smtp_username IS NOT NULL

-- name: read_folders
-- Each folder that is read: how long ago, how many mails wait, and how late its newest mail was judged.
SELECT m.id AS mailbox_id, i.folder, extract(epoch FROM %(now)s - i.read_at)::float8 AS read_seconds_ago,
    i.waiting, i.newest_at
FROM inbox_positions i JOIN mailboxes m ON m.id = i.mailbox_id AND m.deleted_at IS NULL
ORDER BY i.read_at LIMIT 200

-- name: count_mails_by_day
-- Mails read in the last days by day and kind, and the contacts held.
SELECT day, kind, sum(mails)::bigint AS mails FROM inbox_counts
WHERE day > %(day)s::date - 14 GROUP BY day, kind
UNION ALL
SELECT at::date, 'held', count(*) FROM inbox_mails
WHERE verdict = 'held' AND at > %(now)s - interval '14 days' GROUP BY 1
UNION ALL
SELECT at::date, 'opt_out_unverified', count(*) FROM inbox_mails
WHERE verdict = 'opt_out_unverified' AND at > %(now)s - interval '14 days' GROUP BY 1
ORDER BY 1 DESC, 2
