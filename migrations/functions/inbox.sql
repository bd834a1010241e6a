-- Records the verdicts on the mails that the mailboxes received. Each mail is judged once: its identity is
-- the key of its row, wherever it lies in the mailbox.

-- The mailboxes whose incoming mail can be read, with their sign-in and the positions of their folders.
CREATE OR REPLACE FUNCTION read_inbox_accounts()
RETURNS TABLE (mailbox_id bigint, address text, imap_host text, imap_port integer, imap_security text,
    smtp_username text, smtp_secret text, positions jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.id, m.address, m.imap_host, m.imap_port, m.imap_security, m.smtp_username, m.smtp_secret,
        coalesce((SELECT jsonb_object_agg(f.folder, jsonb_build_array(f.uid_validity, f.last_uid))
            FROM inbox_positions f WHERE f.mailbox_id = m.id), '{}')
    FROM mailboxes m
    WHERE m.deleted_at IS NULL AND m.imap_host IS NOT NULL AND m.smtp_username IS NOT NULL ORDER BY m.id
$$;

-- The contact of a mail that names none of our mails: the sender's address, if this mailbox mailed the
-- contact within p_match_days and before the mail arrived. Returns the latest such send.
CREATE OR REPLACE FUNCTION send_of_sender(
    p_mailbox_id bigint, p_sender text, p_received_at timestamptz, p_match_days integer)
RETURNS SETOF sends LANGUAGE sql STABLE AS $$
    SELECT s.* FROM contacts c
    JOIN sequences_contacts e ON e.contact_id = c.id
    JOIN sends s ON s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id
    WHERE p_sender LIKE '%@%' AND lower(c.mail_address) = lower(p_sender) AND c.deleted_at IS NULL
        AND s.mailbox_id = p_mailbox_id AND s.status IN ('sent', 'unknown', 'transmitting')
        AND s.send_at >= p_received_at - make_interval(days => p_match_days)
        AND coalesce(s.transmitting_at, s.send_at) <= p_received_at
        AND NOT EXISTS (SELECT FROM mailboxes m WHERE m.deleted_at IS NULL
            AND mail_domain(m.address) = mail_domain(p_sender))
    ORDER BY s.send_at DESC, s.sequence_id, s.step_id LIMIT 1
$$;

-- Records what followed from a mail that names a send, or whose sender is matched to one. p_named: the mail
-- names it. Returns what happened, for the mail's row.
CREATE OR REPLACE FUNCTION apply_mail(
    p_mailbox_id bigint, p_mail jsonb, p_sequence_id bigint, p_contact_id bigint, p_step_id bigint,
    p_round integer, p_named boolean, p_bounds jsonb, pads bytea)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    kind text := p_mail->>'kind';
    noted jsonb := p_mail->'detail' || jsonb_build_object('mail', left(p_mail->>'identity', 16));
    park interval := make_interval(secs => (p_bounds->>'park_seconds')::float8);
    outcome text;
    in_ledger boolean;
    address text;
    today date;
    until date;
    stopped record;
BEGIN
    SELECT EXISTS (SELECT FROM sends s WHERE s.sequence_id = p_sequence_id AND s.contact_id = p_contact_id
        AND s.step_id = p_step_id AND s.round = p_round
        AND s.status IN ('sent', 'unknown', 'transmitting', 'hard_failed')) INTO in_ledger;
    IF NOT in_ledger AND NOT EXISTS (
            SELECT FROM archived_sends a WHERE a.sequence_id = p_sequence_id AND a.contact_id = p_contact_id
                AND a.step_id = p_step_id AND a.round = p_round
                AND a.status IN ('sent', 'unknown', 'hard_failed')) THEN
        RETURN 'absent';
    END IF;
    SELECT mail_address INTO address FROM contacts WHERE id = p_contact_id;
    IF address IS NULL THEN RETURN 'absent'; END IF;
    stopped := reach_of_reply(p_sequence_id, p_contact_id, p_named, (p_bounds->>'company_most')::integer);
    PERFORM lock_for_stop(CASE WHEN kind = 'reply' THEN stopped.contact_ids ELSE ARRAY[p_contact_id] END,
        p_sequence_id, p_contact_id, p_step_id, p_round);
    IF in_ledger THEN
        outcome := record_feedback(p_sequence_id, p_contact_id, p_step_id, p_round,
            CASE kind WHEN 'hard_bounce' THEN 'bounce' WHEN 'unsubscribe' THEN 'opt_out'
                WHEN 'none' THEN 'delivery' ELSE kind END, noted, park, pads);
        IF outcome = 'known' OR kind IN ('hard_bounce', 'soft_bounce', 'complaint', 'none') THEN
            RETURN outcome;
        END IF;
    ELSIF kind = 'none' THEN
        RETURN 'archived';
    ELSE
        INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind, detail)
        VALUES (p_sequence_id, p_contact_id, p_step_id, p_round, clock_timestamp(),
            CASE kind WHEN 'unsubscribe' THEN 'opt_out' WHEN 'hard_bounce' THEN 'bounce' ELSE kind END,
            noted);
        IF kind = 'complaint' THEN
            PERFORM suppress_contact(p_contact_id, 'unsubscribed', 'complaint', pads);
        ELSIF kind = 'hard_bounce' AND coalesce((noted->>'suppresses')::boolean, true) THEN
            PERFORM suppress_contact(p_contact_id, 'bounced', 'hard_bounce', pads);
        END IF;
        IF kind IN ('complaint', 'hard_bounce', 'soft_bounce') THEN RETURN 'recorded'; END IF;
    END IF;
    IF kind = 'reply' THEN
        PERFORM stop_for_reply(p_sequence_id, p_contact_id, p_step_id, p_round, stopped.reach);
        RETURN CASE WHEN stopped.fallback IS NULL THEN 'stopped_' || stopped.reach
            ELSE 'stopped_contact_' || stopped.fallback END;
    ELSIF kind IN ('opt_out', 'unsubscribe') THEN
        IF p_named AND lower(p_mail->>'sender') = lower(address) THEN
            PERFORM unsubscribe(p_sequence_id, p_contact_id, p_step_id, p_round, pads);
            UPDATE contacts SET stopped_at = NULL, stopped_reason = NULL
            WHERE id = p_contact_id AND stopped_at IS NOT NULL;
            RETURN 'suppressed';
        END IF;
        PERFORM stop_unverified(p_sequence_id, p_contact_id, p_step_id, p_round);
        RETURN 'opt_out_unverified';
    ELSIF (p_mail->>'left')::boolean THEN
        PERFORM end_after_mail(p_sequence_id, p_contact_id, true, 'removed', 'left_company');
        INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind)
        VALUES (p_sequence_id, p_contact_id, p_step_id, p_round, clock_timestamp(), 'left_company');
        RETURN 'left_company';
    ELSIF (p_mail->>'away')::boolean THEN
        SELECT
            (least((p_mail->>'received_at')::timestamptz, clock_timestamp()) AT TIME ZONE m.time_zone)::date
        INTO today FROM mailboxes m WHERE m.id = p_mailbox_id;
        until := least(coalesce((p_mail->>'until')::date, today + (p_bounds->>'away_days')::integer),
            current_date + 60);
        RETURN CASE WHEN until >= current_date AND hold_contact(p_contact_id, today, until, 'away')
            THEN 'held' ELSE 'recorded' END;
    END IF;
    RETURN 'recorded';
END $$;

-- Records the verdict on one mail: recorded once, whoever reads it. Mails that concern no contact and no send
-- get no row. Returns none, known (it was judged before), or what followed.
CREATE OR REPLACE FUNCTION record_mail(p_mailbox_id bigint, p_mail jsonb, p_bounds jsonb, pads bytea)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    key bigint[] := ARRAY(SELECT x::bigint FROM jsonb_array_elements_text(p_mail->'send') x);
    named boolean := cardinality(key) = 4;
    matched sends;
    outcome text;
BEGIN
    IF NOT named AND (p_mail->>'fresh')::boolean THEN
        SELECT * INTO matched FROM send_of_sender(p_mailbox_id, p_mail->>'sender',
            (p_mail->>'received_at')::timestamptz, (p_bounds->>'match_days')::integer);
        IF FOUND THEN
            key := ARRAY[matched.sequence_id, matched.contact_id, matched.step_id, matched.round::bigint];
        END IF;
    END IF;
    IF cardinality(key) <> 4 AND p_mail->>'kind' <> 'unreadable' THEN RETURN 'none'; END IF;
    INSERT INTO inbox_mails (mailbox_id, identity, kind, verdict, received_at, folder, uid, sequence_id,
        contact_id, step_id, round, detail)
    VALUES (p_mailbox_id, decode(p_mail->>'identity', 'hex'), p_mail->>'kind', 'unreadable',
        (p_mail->>'received_at')::timestamptz, p_mail->>'folder', (p_mail->>'uid')::bigint,
        key[1], key[2], key[3], key[4]::smallint,
        jsonb_strip_nulls(p_mail->'detail' || jsonb_build_object('why', p_mail->>'why',
            'until', p_mail->>'until', 'matched', CASE WHEN NOT named AND key[1] IS NOT NULL
                THEN 'sender' END)))
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN 'known'; END IF;
    IF p_mail->>'kind' = 'unreadable' THEN RETURN 'unreadable'; END IF;
    outcome := apply_mail(p_mailbox_id, p_mail, key[1], key[2], key[3], key[4]::integer, named, p_bounds,
        pads);
    UPDATE inbox_mails SET verdict = outcome
    WHERE mailbox_id = p_mailbox_id AND identity = decode(p_mail->>'identity', 'hex');
    RETURN outcome;
END $$;

-- Records a batch of verdicts in the order of the array; the caller retries one by one if the transaction
-- fails, because its locks may meet another transaction's.
CREATE OR REPLACE FUNCTION record_mails(p_mailbox_id bigint, p_mails jsonb, p_bounds jsonb, pads bytea)
RETURNS TABLE (n integer, outcome text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.n::integer, record_mail(p_mailbox_id, m.mail, p_bounds, pads)
    FROM jsonb_array_elements(p_mails) WITH ORDINALITY m (mail, n)
$$;

-- Moves a folder's position from p_expected to p_last_uid and counts the mails between them, in one
-- statement: of two readers, one moves it. Returns false if the position is elsewhere, also under another
-- uid_validity. p_expected null: the folder has no position under this uid_validity.
CREATE OR REPLACE FUNCTION move_inbox_position(
    p_mailbox_id bigint, p_folder text, p_uid_validity bigint, p_expected bigint, p_last_uid bigint,
    p_newest_at timestamptz, p_waiting integer, p_kinds jsonb)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO inbox_positions AS f (mailbox_id, folder, uid_validity, last_uid, read_at, newest_at, waiting)
    VALUES (p_mailbox_id, p_folder, p_uid_validity, p_last_uid, clock_timestamp(), p_newest_at, p_waiting)
    ON CONFLICT (mailbox_id, folder) DO UPDATE SET uid_validity = excluded.uid_validity,
        last_uid = excluded.last_uid, read_at = excluded.read_at, waiting = excluded.waiting,
        newest_at = greatest(f.newest_at, excluded.newest_at)
    WHERE CASE WHEN f.uid_validity = excluded.uid_validity
        THEN f.last_uid IS NOT DISTINCT FROM p_expected ELSE p_expected IS NULL END;
    IF NOT FOUND THEN RETURN false; END IF;
    INSERT INTO inbox_counts AS k (mailbox_id, folder, day, kind, mails)
    SELECT p_mailbox_id, p_folder, (clock_timestamp() AT TIME ZONE 'UTC')::date, c.key, c.value::bigint
    FROM jsonb_each_text(p_kinds) c
    ON CONFLICT (mailbox_id, folder, day, kind) DO UPDATE SET mails = k.mails + excluded.mails;
    RETURN true;
END $$;

-- Deletes verdicts older than 90 days; called after a round of reading.
CREATE OR REPLACE FUNCTION forget_inbox_mails() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM inbox_mails WHERE at < clock_timestamp() - interval '90 days';
    DELETE FROM inbox_counts WHERE day < current_date - 400
$$;

REVOKE EXECUTE ON FUNCTION read_inbox_accounts, send_of_sender, apply_mail, record_mail, record_mails,
    move_inbox_position, forget_inbox_mails
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION read_inbox_accounts, record_mails, move_inbox_position, forget_inbox_mails
    TO sequence_worker;
