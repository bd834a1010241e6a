-- Moves old sends of ended enrolments to archived_sends, which keeps their keys.

-- Moves one batch: it looks at about p_batch sends from p_from on and moves those whose enrolment has ended
-- or has begun a new round, and that are finished and applied. Returns how many it looked at and moved, and
-- where the next batch begins (null: there is none). All sends of one second are in the same batch.
CREATE OR REPLACE FUNCTION archive_sends(p_from timestamptz, p_before timestamptz, p_batch integer)
RETURNS TABLE (examined bigint, archived bigint, next_from timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    upto timestamptz;
BEGIN
    IF p_before > clock_timestamp() - interval '30 days' THEN
        RAISE EXCEPTION 'sends of the last 30 days stay: bounces and complaints for them may still arrive';
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
        INSERT INTO archived_sends (sequence_id, contact_id, step_id, mailbox_id, send_at, finished_at,
            due_day, plan_day, send_day, attempt, smtp_code, round, status, reason, enhanced_code,
            provider_message_id)
        SELECT sequence_id, contact_id, step_id, mailbox_id, send_at, finished_at, due_day,
            plan_day, send_day, attempt, smtp_code, round, status, reason, enhanced_code, provider_message_id
        FROM gone RETURNING 1
    )
    SELECT count(*) INTO archived FROM kept;
    next_from := upto + interval '1 second';
    RETURN NEXT;
END $$;

REVOKE EXECUTE ON FUNCTION archive_sends
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION archive_sends TO sequence_pipeline;
