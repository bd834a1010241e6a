-- Parks mailboxes, and gives the worker what it needs of them; the worker reads no table.

-- Parks a mailbox for p_for. A mailbox that is parked already keeps its end and its reason. Returns whether
-- it was parked by this call.
CREATE OR REPLACE FUNCTION park_mailbox(p_mailbox_id bigint, p_for interval, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE mailboxes SET parked_until = clock_timestamp() + p_for, parked_reason = left(p_reason, 200)
    WHERE id = p_mailbox_id AND (parked_until IS NULL OR parked_until <= clock_timestamp());
    IF NOT FOUND THEN RETURN false; END IF;
    INSERT INTO send_events (at, kind, detail) VALUES (clock_timestamp(), 'mailbox_parked',
        jsonb_build_object(
            'mailbox_id', p_mailbox_id, 'reason', p_reason, 'until', clock_timestamp() + p_for));
    RETURN true;
END $$;

-- Stores the refresh token with which a provider replaced p_before. Returns false if the secret was changed
-- meanwhile.
CREATE OR REPLACE FUNCTION keep_secret(p_mailbox_id bigint, p_before text, p_after text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH kept AS (
        UPDATE mailboxes SET smtp_secret = p_after
        WHERE id = p_mailbox_id AND smtp_secret = p_before
        RETURNING 1)
    SELECT EXISTS (SELECT FROM kept)
$$;

-- A mailbox with its server and sign-in, for a check of it. No row: no mailbox has the address.
CREATE OR REPLACE FUNCTION mailbox_server(p_address text)
RETURNS TABLE (mailbox_id bigint, address text, display_name text, smtp_host text, smtp_port integer,
    smtp_security text, smtp_username text, smtp_secret text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id, m.address, m.display_name, m.smtp_host, m.smtp_port, m.smtp_security, m.smtp_username,
        m.smtp_secret
    FROM mailboxes m WHERE lower(m.address) = lower(p_address) AND m.deleted_at IS NULL
$$;

-- How many active mailboxes have no server of their own, and so need the deployment's.
CREATE OR REPLACE FUNCTION mailboxes_without_server() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM mailboxes WHERE deleted_at IS NULL AND is_active AND smtp_host IS NULL
$$;

REVOKE EXECUTE ON FUNCTION park_mailbox, keep_secret, mailbox_server, mailboxes_without_server
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION park_mailbox TO sequence_pipeline;
GRANT EXECUTE ON FUNCTION park_mailbox, keep_secret, mailbox_server, mailboxes_without_server
    TO sequence_worker;
