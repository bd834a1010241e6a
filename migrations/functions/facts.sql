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

CREATE OR REPLACE FUNCTION month_of(p_day date) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT date_trunc('month', p_day::timestamp)::date
$$;

-- The first day of the first month that begins on p_day or later.
CREATE OR REPLACE FUNCTION first_month_from(p_day date) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT month_of((p_day + interval '1 month' - interval '1 day')::date)
$$;

-- The rows of outcome_days that count the days from p_from to p_to: whole months by their own rows, the rest
-- by days. Each branch is one range of the primary key.
CREATE OR REPLACE FUNCTION outcome_rows(p_grain text, p_from date, p_to date) RETURNS SETOF outcome_days
LANGUAGE sql STABLE AS $$
    SELECT d.* FROM outcome_days d
    WHERE d.grain = p_grain AND d.send_day >= p_from
        AND d.send_day < least(first_month_from(p_from), p_to + 1)
    UNION ALL
    SELECT d.* FROM outcome_days d
    WHERE d.grain = p_grain || '_month' AND d.send_day >= first_month_from(p_from)
        AND d.send_day < month_of(p_to + 1)
    UNION ALL
    SELECT d.* FROM outcome_days d
    WHERE d.grain = p_grain AND d.send_day >= greatest(first_month_from(p_from), month_of(p_to + 1))
        AND d.send_day <= p_to
$$;

-- The sums of outcome_days over the days from p_from to p_to by p_by (sequence, step, mailbox or day), of one
-- sequence if p_sequence is given. The keys that p_by does not name are null.
CREATE OR REPLACE FUNCTION outcome_sums(p_by text, p_sequence bigint, p_from date, p_to date)
RETURNS TABLE (key_sequence bigint, key_step bigint, key_mailbox bigint, key_day date,
    mails bigint, sent bigint, unknown bigint, hard_failed bigint, opened bigint, clicked bigint,
    machine_opened bigint, machine_clicked bigint, replied bigint, bounced bigint, complained bigint,
    unsubscribed bigint, enrolments bigint, enrolments_replied bigint)
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_by IN ('sequence', 'step') THEN d.sequence_id END,
        CASE p_by WHEN 'step' THEN d.step_id END, CASE p_by WHEN 'mailbox' THEN d.mailbox_id END,
        CASE p_by WHEN 'day' THEN d.send_day END,
        sum(d.mails)::bigint, sum(d.sent)::bigint, sum(d.unknown)::bigint, sum(d.hard_failed)::bigint,
        sum(d.opened)::bigint, sum(d.clicked)::bigint, sum(d.machine_opened)::bigint,
        sum(d.machine_clicked)::bigint, sum(d.replied)::bigint, sum(d.bounced)::bigint,
        sum(d.complained)::bigint, sum(d.unsubscribed)::bigint, sum(d.enrolments)::bigint,
        sum(d.enrolments_replied)::bigint
    FROM (
        SELECT r.* FROM outcome_rows(CASE WHEN p_by <> 'mailbox' THEN 'step'
            WHEN p_sequence IS NULL THEN 'mailbox' ELSE 'sequence_mailbox' END, p_from, p_to) r
        WHERE p_by <> 'day'
        UNION ALL
        SELECT x.* FROM outcome_days x
        WHERE p_by = 'day' AND x.grain = CASE WHEN p_sequence IS NULL THEN 'day' ELSE 'step' END
            AND x.send_day BETWEEN p_from AND p_to) d
    WHERE p_sequence IS NULL OR d.sequence_id = p_sequence
    GROUP BY 1, 2, 3, 4
$$;

REVOKE ALL ON mail_facts, enrolment_facts
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT SELECT ON mail_facts, enrolment_facts TO sequence_api, sequence_pipeline, sequence_readonly;
REVOKE EXECUTE ON FUNCTION earliest_planned, month_of, first_month_from, outcome_rows, outcome_sums
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION earliest_planned TO sequence_pipeline, sequence_readonly;
GRANT EXECUTE ON FUNCTION month_of, first_month_from, outcome_rows, outcome_sums
    TO sequence_api, sequence_pipeline, sequence_readonly;
