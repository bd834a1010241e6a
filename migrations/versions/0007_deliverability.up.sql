-- A provider may replace a mailbox's refresh token; the worker, which reads no table, stores the new one.
CREATE FUNCTION keep_secret(p_mailbox_id bigint, p_before text, p_after text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH kept AS (
        UPDATE mailboxes SET smtp_secret = p_after WHERE id = p_mailbox_id AND smtp_secret = p_before RETURNING 1)
    SELECT EXISTS (SELECT FROM kept)
$$;

-- A Valkey counter holds the day to be used up: only the database's own count cancels the send. `remaining` is for
-- the counter, should it be wrong.
CREATE FUNCTION confirm_limit(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid)
RETURNS TABLE (cancelled boolean, remaining integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s sends;
BEGIN
    SELECT * INTO s FROM sends x WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id
        AND x.step_id = p_step_id AND x.round = p_round FOR UPDATE;
    SELECT greatest(0, least(coalesce(d.allowed, m.send_limit), m.send_limit) - coalesce(d.used, 0)) INTO remaining
    FROM mailboxes m LEFT JOIN mailbox_days d ON d.mailbox_id = m.id AND d.send_day = s.send_day
    WHERE m.id = s.mailbox_id;
    cancelled := false;
    IF remaining = 0 THEN
        UPDATE sends x SET status = 'cancelled', reason = 'limit_reached', claim = NULL, lease_until = NULL
        WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id AND x.step_id = p_step_id
            AND x.round = p_round AND x.status = 'claimed' AND x.claim = p_claim
            AND x.lease_until > clock_timestamp();
        cancelled := FOUND;
    END IF;
    RETURN NEXT;
END $$;

REVOKE EXECUTE ON FUNCTION keep_secret, confirm_limit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_secret, confirm_limit TO sequence_worker;
