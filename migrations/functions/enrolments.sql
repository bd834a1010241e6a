-- Where an enrolment stands. The first three functions are single expressions or selects without a
-- definer's rights, so that Postgres inlines them into the query that calls them.

-- Whether the enrolment's next mail is a follow-up: a mail was sent in this round, or a mailbox is pinned.
CREATE OR REPLACE FUNCTION is_follow_up(last_send date, mailbox_id bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN last_send IS NOT NULL OR mailbox_id IS NOT NULL;

-- The date from which a mail with this delay is due after one whose date is last_send: never the same date;
-- null without a delay, because no step is left.
-- The planner does the same with arrays: next_date in sequence_pipelines/planning/engine/send_dates.py.
CREATE OR REPLACE FUNCTION next_send_after(last_send date, delay_days integer) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN last_send + CASE WHEN delay_days > 1 THEN delay_days WHEN delay_days <= 1 THEN 1 END;

-- The lowest step of a sequence that is not deleted and whose number is at least p_at_least; no row if
-- there is none. The planner does the same with arrays: find_due_steps in
-- sequence_pipelines/planning/engine/eligibility.py.
CREATE OR REPLACE FUNCTION next_live_step(p_sequence_id bigint, p_at_least bigint)
RETURNS TABLE (step_id bigint, step_number integer, delay_days integer) LANGUAGE sql STABLE AS $$
    SELECT st.id, st.step_number, st.delay_days FROM steps st
    WHERE st.sequence_id = p_sequence_id AND st.step_number >= p_at_least AND st.deleted_at IS NULL
    ORDER BY st.step_number LIMIT 1
$$;

-- The same, but it skips steps that have a live or spent send in the enrolment's round. has_row: the step
-- has a reusable send (cancelled or expired).
CREATE OR REPLACE FUNCTION next_unmailed_step(
    p_sequence_id bigint, p_contact_id bigint, p_round smallint, p_at_least integer)
RETURNS TABLE (step_id bigint, external_id uuid, step_number integer, has_row boolean)
LANGUAGE sql STABLE AS $$
    SELECT st.id, st.external_id, st.step_number, s.status IS NOT NULL
    FROM steps st
    LEFT JOIN sends s ON s.sequence_id = p_sequence_id AND s.contact_id = p_contact_id AND s.step_id = st.id
        AND s.round = p_round
    WHERE st.sequence_id = p_sequence_id AND st.step_number >= p_at_least AND st.deleted_at IS NULL
        AND (s.status IS NULL OR s.status IN ('cancelled', 'expired'))
    ORDER BY st.step_number LIMIT 1
$$;

-- Ends or pauses the enrolment of a send. It changes only an active or paused enrolment.
CREATE OR REPLACE FUNCTION end_enrolment(s sends, p_status text, p_reason text) RETURNS void
LANGUAGE sql AS $$
    UPDATE sequences_contacts e SET status = p_status, status_reason = p_reason,
        next_send = CASE WHEN p_status = 'paused' THEN e.next_send END
    WHERE e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
        AND e.status IN ('active', 'paused')
$$;

REVOKE EXECUTE ON FUNCTION is_follow_up, next_send_after, next_live_step, next_unmailed_step, end_enrolment
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION is_follow_up, next_send_after, next_live_step, next_unmailed_step
    TO sequence_pipeline;
GRANT EXECUTE ON FUNCTION next_live_step, next_send_after TO sequence_readonly;
GRANT EXECUTE ON FUNCTION next_unmailed_step TO sequence_api;
