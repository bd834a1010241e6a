-- A provider may replace a mailbox's refresh token; the worker, which reads no table, stores the new one.
CREATE FUNCTION keep_secret(p_mailbox_id bigint, p_before text, p_after text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH kept AS (
        UPDATE mailboxes SET smtp_secret = p_after WHERE id = p_mailbox_id AND smtp_secret = p_before RETURNING 1)
    SELECT EXISTS (SELECT FROM kept)
$$;
REVOKE EXECUTE ON FUNCTION keep_secret FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_secret TO sequence_worker;
