-- The facts: what came of each mail and of each enrolment, for reports and exports (docs/outcomes.md). A view
-- is replaced as a whole with each migration; a new column goes to its end.

-- A row of a finished mail, from the ledger or the archive. No name, no address, no text of a person.
CREATE OR REPLACE VIEW mail_facts AS
SELECT q.external_id AS sequence_id, st.external_id AS step_id, st.step_number,
    m.external_id AS mailbox_id, CASE WHEN c.mail_address <> '' THEN c.external_id END AS contact_id,
    s.round, s.plan_day, s.send_day, s.status AS outcome, split_part(s.reason, ':', 1) AS reason,
    s.smtp_code, s.enhanced_code, s.send_at AS planned_at,
    CASE WHEN s.status <> 'hard_failed' THEN s.finished_at END AS sent_at, s.finished_at,
    extract(epoch FROM s.finished_at - s.send_at)::float8 AS lateness_seconds, s.attempt AS attempts,
    o.first_opened_at, coalesce(o.opens, 0) AS opens, o.first_clicked_at, coalesce(o.clicks, 0) AS clicks,
    o.machine_opened_at, coalesce(o.machine_opens, 0) AS machine_opens,
    o.machine_clicked_at, coalesce(o.machine_clicks, 0) AS machine_clicks,
    o.replied_at, o.auto_replied_at, coalesce(o.hard_bounced_at, o.soft_bounced_at) AS bounced_at,
    CASE WHEN o.hard_bounced_at IS NOT NULL THEN 'hard'
        WHEN o.soft_bounced_at IS NOT NULL THEN 'soft' END AS bounce_kind,
    o.complained_at, o.unsubscribed_at, coalesce(o.is_first, false) AS is_first_mail, o.changed_at
FROM (
    SELECT sequence_id, contact_id, step_id, round, mailbox_id, plan_day, send_day, send_at, status, reason,
        smtp_code, enhanced_code, attempt, coalesce(finished_at, transmitting_at, send_at) AS finished_at
    FROM sends WHERE status IN ('sent', 'hard_failed', 'unknown')
    UNION ALL
    SELECT sequence_id, contact_id, step_id, round, mailbox_id, plan_day, send_day, send_at, status, reason,
        smtp_code, enhanced_code, attempt, coalesce(finished_at, send_at)
    FROM archived_sends WHERE status IN ('sent', 'hard_failed', 'unknown')) s
LEFT JOIN mail_outcomes o ON o.sequence_id = s.sequence_id AND o.contact_id = s.contact_id
    AND o.step_id = s.step_id AND o.round = s.round
LEFT JOIN sequences q ON q.id = s.sequence_id
LEFT JOIN steps st ON st.id = s.step_id
LEFT JOIN mailboxes m ON m.id = s.mailbox_id
LEFT JOIN contacts c ON c.id = s.contact_id;

COMMENT ON VIEW mail_facts IS 'A row a finished mail, with what came of it (docs/outcomes.md)';

-- A row of a round of an enrolment. Of an earlier round the table keeps only the mails.
CREATE OR REPLACE VIEW enrolment_facts AS
SELECT q.external_id AS sequence_id,
    CASE WHEN c.mail_address <> '' THEN c.external_id END AS contact_id, r.round, r.status,
    split_part(r.status_reason, ':', 1) AS status_reason, r.current_step, r.next_send, r.last_send,
    coalesce(f.mails, 0) AS mails, f.first_mail_at, f.last_mail_at, f.first_opened_at, f.first_clicked_at,
    f.replied_at, f.bounced_at, f.complained_at, f.unsubscribed_at
FROM (
    SELECT sequence_id, contact_id, round, status, status_reason, current_step, next_send, last_send
    FROM sequences_contacts
    UNION ALL
    SELECT DISTINCT o.sequence_id, o.contact_id, o.round, NULL, NULL, NULL::integer, NULL::date,
        max(o.send_day) OVER (PARTITION BY o.sequence_id, o.contact_id, o.round)
    FROM mail_outcomes o JOIN sequences_contacts e
        ON e.sequence_id = o.sequence_id AND e.contact_id = o.contact_id AND e.round > o.round) r
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE o.outcome IN ('sent', 'unknown')) AS mails,
        min(o.finished_at) FILTER (WHERE o.outcome IN ('sent', 'unknown')) AS first_mail_at,
        max(o.finished_at) FILTER (WHERE o.outcome IN ('sent', 'unknown')) AS last_mail_at,
        min(o.first_opened_at) AS first_opened_at, min(o.first_clicked_at) AS first_clicked_at,
        min(o.replied_at) AS replied_at, min(o.hard_bounced_at) AS bounced_at,
        min(o.complained_at) AS complained_at, min(o.unsubscribed_at) AS unsubscribed_at
    FROM mail_outcomes o
    WHERE o.sequence_id = r.sequence_id AND o.contact_id = r.contact_id AND o.round = r.round) f ON true
LEFT JOIN sequences q ON q.id = r.sequence_id
LEFT JOIN contacts c ON c.id = r.contact_id;

COMMENT ON VIEW enrolment_facts IS 'A row a round of an enrolment, with what came of it (docs/outcomes.md)';

-- The earliest planned second of the mails that finished in a time, so that a query finds them by the index
-- on send_at. A mail has its outcome within a few days; after an outage it may take longer, and the feed
-- knows.
CREATE OR REPLACE FUNCTION earliest_planned(p_begins timestamptz, p_ends timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT least(p_begins - interval '4 days', (SELECT min(o.send_day)::timestamptz - interval '1 day'
        FROM mail_outcomes o WHERE o.finished_at >= p_begins AND o.finished_at < p_ends))
$$;

REVOKE ALL ON mail_facts, enrolment_facts
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT SELECT ON mail_facts, enrolment_facts TO sequence_api, sequence_pipeline, sequence_readonly;
REVOKE EXECUTE ON FUNCTION earliest_planned
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION earliest_planned TO sequence_pipeline, sequence_readonly;
