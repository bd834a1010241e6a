-- What was mailed long ago makes room for what is under way. The key stays for good: it is what a second mailing
-- would collide with.

-- As `sends`, without what only a send under way needs and without what a server said of a person.
CREATE TABLE archived_sends (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    send_at timestamptz(0) NOT NULL,
    finished_at timestamptz,
    due_day date NOT NULL,
    plan_day date NOT NULL,
    send_day date NOT NULL,
    attempt integer NOT NULL,
    smtp_code integer,
    round smallint NOT NULL,
    status text NOT NULL CHECK (status IN ('sent', 'hard_failed', 'unknown', 'cancelled', 'expired')),
    reason text,
    enhanced_code text,
    provider_message_id text,
    PRIMARY KEY (sequence_id, contact_id, step_id, round)
);

-- An ended enrolment never reopens: enrolling the contact again raises its round. Whoever says otherwise is refused,
-- because the rows that would stop a second mailing may be in the archive.
CREATE FUNCTION refuse_to_reopen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the enrolment of contact % in sequence % has ended (%): enrol it again, which raises its round',
        OLD.contact_id, OLD.sequence_id, OLD.status USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER sequences_contacts_stay_ended BEFORE UPDATE OF status, round ON sequences_contacts FOR EACH ROW
    WHEN (NEW.round < OLD.round OR (NEW.round = OLD.round AND NEW.status IN ('active', 'paused')
        AND OLD.status NOT IN ('active', 'paused')))
    EXECUTE FUNCTION refuse_to_reopen();

-- As in 0002, and nothing that the archive knows as mailed goes out, whatever became of its enrolment's row.
CREATE OR REPLACE FUNCTION closed_gate(s sends, pads bytea) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM archived_sends a WHERE a.sequence_id = s.sequence_id
            AND a.contact_id = s.contact_id AND a.step_id = s.step_id AND a.round = s.round
            AND a.status NOT IN ('cancelled', 'expired')) THEN 'mailed_before'
        ELSE (SELECT closed FROM send_gates(pads) g
            WHERE g.sequence_id = s.sequence_id AND g.contact_id = s.contact_id AND g.step_id = s.step_id
                AND g.round = s.round) END
$$;

-- Moves one batch to the archive: of about p_batch sends from p_from on, those whose enrolment has ended or has begun
-- a new round, and which themselves are over and have been advanced. Returns how many were looked at and moved, and where the
-- next batch begins; null: there is none. A second's sends stay together.
CREATE FUNCTION archive_sends(p_from timestamptz, p_before timestamptz, p_batch integer)
RETURNS TABLE (examined bigint, archived bigint, next_from timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    upto timestamptz;
BEGIN
    IF p_before > clock_timestamp() - interval '30 days' THEN
        RAISE EXCEPTION 'bounces and complaints still come back for sends of the last 30 days: they stay';
    END IF;
    SELECT max(b.send_at), count(*) INTO upto, examined FROM (
        SELECT s.send_at FROM sends s WHERE s.send_at >= p_from AND s.send_at < p_before
        ORDER BY s.send_at LIMIT p_batch) b;
    WITH ended AS (
        SELECT s.sequence_id, s.contact_id, s.step_id, s.round FROM sends s
        JOIN sequences_contacts e ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id
        WHERE s.send_at >= p_from AND s.send_at <= upto
            AND (s.advanced_at IS NOT NULL OR s.status IN ('cancelled', 'expired'))
            AND (e.round > s.round OR e.status NOT IN ('active', 'paused'))
        FOR UPDATE OF s SKIP LOCKED
    ), gone AS (
        DELETE FROM sends s USING ended d
        WHERE s.sequence_id = d.sequence_id AND s.contact_id = d.contact_id AND s.step_id = d.step_id
            AND s.round = d.round
        RETURNING s.*
    ), kept AS (
        INSERT INTO archived_sends (sequence_id, contact_id, step_id, mailbox_id, send_at, finished_at, due_day,
            plan_day, send_day, attempt, smtp_code, round, status, reason, enhanced_code, provider_message_id)
        SELECT sequence_id, contact_id, step_id, mailbox_id, send_at, finished_at, due_day,
            plan_day, send_day, attempt, smtp_code, round, status, reason, enhanced_code, provider_message_id
        FROM gone RETURNING 1
    )
    SELECT count(*) INTO archived FROM kept;
    next_from := upto + interval '1 second';
    RETURN NEXT;
END $$;

REVOKE EXECUTE ON FUNCTION archive_sends, refuse_to_reopen FROM PUBLIC;
GRANT EXECUTE ON FUNCTION archive_sends TO sequence_pipeline;
GRANT SELECT ON archived_sends TO sequence_api, sequence_pipeline, sequence_readonly;
