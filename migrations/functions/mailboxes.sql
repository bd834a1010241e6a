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

-- The mailboxes whose inbox can be read, with their sign-in and the position up to which it was read.
CREATE OR REPLACE FUNCTION read_inboxes()
RETURNS TABLE (mailbox_id bigint, address text, imap_host text, imap_port integer, imap_security text,
    smtp_username text, smtp_secret text, uid_validity bigint, last_uid bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.id, m.address, m.imap_host, m.imap_port, m.imap_security, m.smtp_username, m.smtp_secret,
        p.uid_validity, p.last_uid
    FROM mailboxes m LEFT JOIN inbox_positions p ON p.mailbox_id = m.id
    WHERE m.deleted_at IS NULL AND m.imap_host IS NOT NULL AND m.smtp_username IS NOT NULL ORDER BY m.id
$$;

-- Stores how far an inbox was read. Under the same uid_validity the position only moves forward, so that a
-- slower reader does not move it back.
CREATE OR REPLACE FUNCTION keep_inbox_position(p_mailbox_id bigint, p_uid_validity bigint, p_last_uid bigint)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO inbox_positions AS p (mailbox_id, uid_validity, last_uid, read_at)
    VALUES (p_mailbox_id, p_uid_validity, p_last_uid, clock_timestamp())
    ON CONFLICT (mailbox_id) DO UPDATE SET uid_validity = excluded.uid_validity, read_at = excluded.read_at,
        last_uid = CASE WHEN p.uid_validity = excluded.uid_validity
            THEN greatest(p.last_uid, excluded.last_uid) ELSE excluded.last_uid END
$$;

REVOKE EXECUTE ON FUNCTION park_mailbox, keep_secret, mailbox_server, mailboxes_without_server,
    read_inboxes, keep_inbox_position
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION park_mailbox TO sequence_pipeline;
GRANT EXECUTE ON FUNCTION park_mailbox, keep_secret, mailbox_server, mailboxes_without_server,
    read_inboxes, keep_inbox_position TO sequence_worker;
