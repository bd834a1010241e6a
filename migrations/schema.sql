CREATE FUNCTION public.address_hmac(address text, pads bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN sha256((substr(pads, 65, 64) || sha256((substr(pads, 1, 64) || convert_to(lower(btrim(address)), 'UTF8'::name)))));
CREATE FUNCTION public.archive_sends(p_from timestamp with time zone, p_before timestamp with time zone, p_batch integer) RETURNS TABLE(examined bigint, archived bigint, next_from timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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
CREATE FUNCTION public.cancel_step_sends(p_step_id bigint) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    WITH cancelled AS (
        UPDATE sends SET status = 'cancelled', reason = 'step_deleted', claim = NULL, lease_until = NULL
        WHERE step_id = p_step_id AND status IN ('planned', 'dispatched', 'claimed')
            AND sequence_id = (SELECT sequence_id FROM steps WHERE id = p_step_id)
        RETURNING 1)
    SELECT count(*) FROM cancelled
$$;
CREATE FUNCTION public.claim_send(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_attempt integer, p_claim uuid, p_lease interval, pads bytea) RETURNS TABLE(verdict text, reason text, retry_at timestamp with time zone, mailbox_id bigint, send_day date, send_at timestamp with time zone, not_after timestamp with time zone, contact_name text, contact_address text, contact_attributes jsonb, contact_external_id uuid, sequence_external_id uuid, open_tracking_enabled boolean, click_tracking_enabled boolean, mail_subject text, mail_content text, thread_subject text, thread_step_ids bigint[], mailbox_address text, mailbox_display_name text, tracking_host text, smtp_host text, smtp_port integer, smtp_security text, smtp_username text, smtp_secret text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    s sends;
    at timestamptz;
BEGIN
    SELECT * INTO s FROM sends x WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id
        AND x.step_id = p_step_id AND x.round = p_round FOR UPDATE;
    at := clock_timestamp();
    IF s.status IS NULL THEN
        verdict := 'absent';
    ELSIF s.status NOT IN ('planned', 'dispatched', 'claimed') OR s.attempt <> p_attempt THEN
        verdict := 'stale'; reason := s.status;
    ELSIF s.status = 'claimed' AND s.lease_until > at THEN
        verdict := 'held'; retry_at := s.lease_until;
    ELSIF s.not_after < at THEN
        verdict := 'expired'; reason := 'not_after';
    ELSE
        reason := closed_gate(s, pads);
        verdict := CASE WHEN reason IS NOT NULL THEN 'cancelled'
                        WHEN s.send_at > at THEN 'early' ELSE 'claimed' END;
        retry_at := CASE verdict WHEN 'early' THEN s.send_at END;
    END IF;
    IF verdict IN ('cancelled', 'expired') THEN
        UPDATE sends x SET status = verdict, reason = claim_send.reason, claim = NULL, lease_until = NULL
        WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id AND x.step_id = p_step_id
            AND x.round = p_round AND x.status = s.status;
    ELSIF verdict = 'claimed' THEN
        UPDATE sends x SET status = 'claimed', claim = p_claim, lease_until = at + p_lease
        WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id AND x.step_id = p_step_id
            AND x.round = p_round AND x.status = s.status;
        SELECT s.mailbox_id, s.send_day, s.send_at, s.not_after,
            c.name, c.mail_address, c.attributes, c.external_id,
            q.external_id, q.open_tracking_enabled, q.click_tracking_enabled,
            st.mail_subject, st.mail_content, t.subject, t.step_ids,
            m.address, m.display_name, m.tracking_host,
            m.smtp_host, m.smtp_port, m.smtp_security, m.smtp_username, m.smtp_secret
        INTO mailbox_id, send_day, send_at, not_after,
            contact_name, contact_address, contact_attributes, contact_external_id,
            sequence_external_id, open_tracking_enabled, click_tracking_enabled,
            mail_subject, mail_content, thread_subject, thread_step_ids,
            mailbox_address, mailbox_display_name, tracking_host,
            smtp_host, smtp_port, smtp_security, smtp_username, smtp_secret
        FROM contacts c, sequences q, steps st, mailboxes m, LATERAL (
            -- the mails of this round: those from the same mailbox are the thread that this one continues; the
            -- subject stays also where a follow-up has moved to another mailbox
            SELECT array_agg(b.step_id ORDER BY b.send_at) FILTER (WHERE b.mailbox_id = s.mailbox_id) AS step_ids,
                (array_agg(bs.mail_subject ORDER BY (b.mailbox_id = s.mailbox_id) DESC, b.send_at)
                    FILTER (WHERE bs.mail_subject <> ''))[1] AS subject
            FROM sends b JOIN steps bs ON bs.id = b.step_id
            WHERE b.sequence_id = p_sequence_id AND b.contact_id = p_contact_id AND b.round = p_round
                AND b.status IN ('sent', 'unknown') AND b.step_id <> p_step_id) t
        WHERE c.id = p_contact_id AND q.id = p_sequence_id AND st.id = p_step_id AND m.id = s.mailbox_id;
    END IF;
    RETURN NEXT;
END $$;
CREATE TABLE public.sends (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    mailbox_id bigint NOT NULL,
    due_day date NOT NULL,
    plan_day date NOT NULL,
    send_day date NOT NULL,
    send_at timestamp(0) with time zone NOT NULL,
    not_after timestamp(0) with time zone NOT NULL,
    status text DEFAULT 'planned'::text NOT NULL,
    reason text,
    attempt integer DEFAULT 1 NOT NULL,
    dispatched_at timestamp with time zone,
    claim uuid,
    lease_until timestamp with time zone,
    transmitting_at timestamp with time zone,
    finished_at timestamp with time zone,
    smtp_code integer,
    enhanced_code text,
    smtp_reply text,
    provider_message_id text,
    advanced_at timestamp with time zone,
    CONSTRAINT sends_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT sends_check CHECK (((advanced_at IS NULL) OR (status = ANY (ARRAY['sent'::text, 'hard_failed'::text, 'unknown'::text])))),
    CONSTRAINT sends_status_check CHECK ((status = ANY (ARRAY['planned'::text, 'dispatched'::text, 'claimed'::text, 'transmitting'::text, 'sent'::text, 'hard_failed'::text, 'unknown'::text, 'cancelled'::text, 'expired'::text])))
)
WITH (fillfactor='50');
CREATE FUNCTION public.closed_gate(s public.sends, pads bytea) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM archived_sends a WHERE a.sequence_id = s.sequence_id
            AND a.contact_id = s.contact_id AND a.step_id = s.step_id AND a.round = s.round
            AND a.status NOT IN ('cancelled', 'expired')) THEN 'mailed_before'
        ELSE (SELECT closed FROM send_gates(pads) g
            WHERE g.sequence_id = s.sequence_id AND g.contact_id = s.contact_id AND g.step_id = s.step_id
                AND g.round = s.round) END
$$;
CREATE FUNCTION public.confirm_limit(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid) RETURNS TABLE(cancelled boolean, remaining integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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
CREATE FUNCTION public.contacts_of_address(p_address text) RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$
    SELECT id FROM contacts WHERE lower(mail_address) = lower(p_address) AND deleted_at IS NULL AND p_address <> ''
    UNION ALL
    SELECT id FROM contacts WHERE lower(mail_address) = lower(p_address) AND deleted_at IS NOT NULL AND p_address <> ''
$$;
CREATE FUNCTION public.end_enrolment(s public.sends, p_status text, p_reason text) RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE sequences_contacts e SET status = p_status, status_reason = p_reason,
        next_send = CASE WHEN p_status = 'paused' THEN e.next_send END
    WHERE e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
        AND e.status IN ('active', 'paused')
$$;
CREATE FUNCTION public.erase_contact(p_contact uuid, pads bytea) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    address text;
    ids bigint[];
BEGIN
    SELECT mail_address, ARRAY[id] INTO address, ids FROM contacts WHERE external_id = p_contact;
    IF address IS NULL THEN RETURN false; END IF;
    IF address = '' THEN RETURN true; END IF;
    ids := ARRAY(SELECT contacts_of_address(address));
    PERFORM stop_contacts(ids, 'removed', 'contact_erased');
    INSERT INTO suppressions (address_hmac, reason) VALUES (address_hmac(address, pads), 'erased')
        ON CONFLICT DO NOTHING;
    UPDATE sends s SET smtp_reply = NULL FROM sequences_contacts e
    WHERE e.contact_id = ANY (ids) AND s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id
        AND s.smtp_reply IS NOT NULL;
    UPDATE send_events v SET detail = '{}' FROM sequences_contacts e
    WHERE e.contact_id = ANY (ids) AND v.sequence_id = e.sequence_id AND v.contact_id = e.contact_id
        AND v.detail <> '{}';
    UPDATE contacts SET name = '', mail_address = '', attributes = '{}', is_active = false,
        deleted_at = coalesce(deleted_at, now())
    WHERE id = ANY (ids);
    INSERT INTO send_events (contact_id, kind) SELECT unnest(ids), 'contact_erased';
    RETURN true;
END $$;
CREATE FUNCTION public.finish_send(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, p_outcome text, p_fault text, p_reason text, p_smtp_code integer, p_enhanced_code text, p_smtp_reply text, p_provider_message_id text, p_retry_after interval, p_park_for interval, pads bytea) RETURNS TABLE(status text, reason text, send_at timestamp with time zone, attempt integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    s sends;
    at timestamptz;
    ended text := p_outcome;
    why text := p_reason;
    suppresses boolean := p_outcome = 'hard_failed';
BEGIN
    SELECT * INTO s FROM sends x WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id
        AND x.step_id = p_step_id AND x.round = p_round AND x.claim = p_claim FOR UPDATE;
    at := clock_timestamp();
    IF s.status IS NULL OR NOT (CASE p_outcome
            WHEN 'sent' THEN s.status = 'transmitting' OR (s.status = 'unknown' AND s.advanced_at IS NULL)
            WHEN 'unknown' THEN s.status = 'transmitting'
            WHEN 'hard_failed' THEN s.status IN ('claimed', 'transmitting')
            WHEN 'soft_failed' THEN s.status IN ('claimed', 'transmitting')
            WHEN 'cancelled' THEN s.status IN ('claimed', 'transmitting')
            ELSE false END) THEN
        RETURN;
    END IF;
    IF p_outcome = 'soft_failed' THEN
        PERFORM record_event(s, 'soft_failure', jsonb_build_object('fault', p_fault, 'reason', p_reason,
            'code', p_smtp_code, 'enhanced_code', p_enhanced_code, 'attempt', s.attempt));
        IF p_fault IN ('recipient', 'domain') AND (
                SELECT count(*) >= 6 AND max(v.at) - min(v.at) >= interval '3 days' FROM send_events v
                WHERE v.sequence_id = s.sequence_id AND v.contact_id = s.contact_id AND v.step_id = s.step_id
                    AND v.round = s.round AND v.kind = 'soft_failure'
                    AND v.detail->>'fault' IN ('recipient', 'domain')) THEN
            ended := 'hard_failed'; why := 'soft_failures';
        ELSIF at + p_retry_after > s.not_after THEN
            ended := 'expired';
        ELSE
            ended := 'planned';
        END IF;
    END IF;
    UPDATE sends x SET status = ended, reason = left(why, 200),
        smtp_code = p_smtp_code, enhanced_code = left(p_enhanced_code, 20), smtp_reply = left(p_smtp_reply, 500),
        provider_message_id = coalesce(left(p_provider_message_id, 200), x.provider_message_id),
        finished_at = CASE WHEN ended IN ('sent', 'hard_failed', 'unknown') THEN at END,
        claim = CASE WHEN ended IN ('sent', 'hard_failed', 'unknown') THEN x.claim END,
        lease_until = NULL,
        transmitting_at = CASE WHEN ended = 'planned' THEN NULL ELSE x.transmitting_at END,
        dispatched_at = CASE WHEN ended = 'planned' THEN NULL ELSE x.dispatched_at END,
        send_at = CASE WHEN ended = 'planned' THEN at + p_retry_after ELSE x.send_at END,
        attempt = x.attempt + (ended = 'planned')::integer
    WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id AND x.step_id = p_step_id
        AND x.round = p_round AND x.claim = p_claim AND x.status = s.status
    RETURNING x.status, x.reason, x.send_at, x.attempt INTO status, reason, send_at, attempt;
    IF s.status = 'transmitting' AND ended NOT IN ('sent', 'unknown') THEN
        UPDATE mailbox_days d SET used = d.used - 1
        WHERE d.mailbox_id = s.mailbox_id AND d.send_day = s.send_day AND d.used > 0;
    END IF;
    IF ended = 'sent' OR (ended = 'hard_failed' AND (p_smtp_code IS NOT NULL OR why = 'soft_failures')) THEN
        INSERT INTO send_counts AS c (mailbox_id, sequence_id, mails) VALUES (s.mailbox_id, s.sequence_id, 1)
        ON CONFLICT (mailbox_id, sequence_id) DO UPDATE SET mails = c.mails + 1;
    END IF;
    IF ended = 'hard_failed' THEN
        PERFORM end_enrolment(s, 'bounced', coalesce(p_enhanced_code, p_smtp_code::text, why));
        IF suppresses THEN
            INSERT INTO suppressions (address_hmac, reason, at)
            SELECT address_hmac(c.mail_address, pads), 'hard_bounce', at FROM contacts c WHERE c.id = p_contact_id
            ON CONFLICT DO NOTHING;
        END IF;
        IF p_smtp_code IS NOT NULL OR why = 'soft_failures' THEN
            PERFORM record_setback(s, 'bounce', p_park_for);
        END IF;
    ELSIF ended = 'unknown' THEN
        PERFORM record_setback(s, 'unknown', p_park_for);
    ELSIF ended = 'cancelled' AND p_fault = 'message' THEN
        PERFORM record_event(s, 'message_fault', jsonb_build_object('reason', p_reason));
        PERFORM end_enrolment(s, 'paused', left(p_reason, 200));
        PERFORM switch_off_after_message_faults(s);
    END IF;
    IF p_fault = 'mailbox' THEN
        PERFORM park_mailbox(s.mailbox_id, p_park_for, p_reason);
    END IF;
    RETURN NEXT;
END $$;
CREATE FUNCTION public.forget_address_hmac() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.address_hmac := NULL;
    RETURN NEW;
END $$;
CREATE FUNCTION public.forget_answers() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    UPDATE idempotency_keys SET answer = NULL WHERE created_id = NEW.external_id;
    RETURN NULL;
END $$;
CREATE FUNCTION public.keep_inbox_position(p_mailbox_id bigint, p_uid_validity bigint, p_last_uid bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    INSERT INTO inbox_positions AS p (mailbox_id, uid_validity, last_uid, read_at)
    VALUES (p_mailbox_id, p_uid_validity, p_last_uid, clock_timestamp())
    ON CONFLICT (mailbox_id) DO UPDATE SET uid_validity = excluded.uid_validity, read_at = excluded.read_at,
        last_uid = CASE WHEN p.uid_validity = excluded.uid_validity THEN greatest(p.last_uid, excluded.last_uid)
            ELSE excluded.last_uid END
$$;
CREATE FUNCTION public.keep_secret(p_mailbox_id bigint, p_before text, p_after text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    WITH kept AS (
        UPDATE mailboxes SET smtp_secret = p_after WHERE id = p_mailbox_id AND smtp_secret = p_before RETURNING 1)
    SELECT EXISTS (SELECT FROM kept)
$$;
CREATE FUNCTION public.mark_transmitting(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, pads bytea) RETURNS TABLE(verdict text, reason text, retry_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    s sends;
    m mailboxes;
    day mailbox_days;
    at timestamptz;
    gap_ends timestamptz;
BEGIN
    SELECT * INTO s FROM sends x WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id
        AND x.step_id = p_step_id AND x.round = p_round FOR UPDATE;
    PERFORM FROM contacts c WHERE c.id = p_contact_id FOR SHARE;
    at := clock_timestamp();
    IF s.status IS DISTINCT FROM 'claimed' OR s.claim <> p_claim OR s.lease_until <= at THEN
        RETURN QUERY SELECT 'fenced', s.status, NULL::timestamptz;
        RETURN;
    END IF;
    reason := closed_gate(s, pads);
    IF s.not_after < at THEN
        verdict := 'expired'; reason := 'not_after';
    ELSIF reason IS NOT NULL THEN
        verdict := 'cancelled';
    ELSE
        SELECT * INTO m FROM mailboxes x WHERE x.id = s.mailbox_id;
        INSERT INTO mailbox_days (mailbox_id, send_day, allowed) VALUES (s.mailbox_id, s.send_day, m.send_limit)
            ON CONFLICT DO NOTHING;
        PERFORM FROM mailbox_days d WHERE d.mailbox_id = s.mailbox_id
            AND d.send_day BETWEEN s.send_day - 1 AND s.send_day + 1 ORDER BY d.send_day FOR UPDATE;
        at := clock_timestamp();
        SELECT max(d.last_at) + make_interval(secs => m.min_gap_seconds) INTO gap_ends FROM mailbox_days d
            WHERE d.mailbox_id = s.mailbox_id AND d.send_day BETWEEN s.send_day - 1 AND s.send_day + 1;
        SELECT * INTO day FROM mailbox_days d WHERE d.mailbox_id = s.mailbox_id AND d.send_day = s.send_day;
        IF day.used + 1 > least(day.allowed, m.send_limit) THEN
            verdict := 'cancelled'; reason := 'limit_reached';
        ELSIF m.min_gap_seconds > 0 AND gap_ends > at + interval '5 seconds' THEN
            verdict := 'planned'; reason := 'gap';
            retry_at := next_free_place(s.mailbox_id, m.min_gap_seconds, gap_ends, s.not_after);
            IF retry_at IS NULL THEN verdict := 'expired'; END IF;
        ELSIF m.min_gap_seconds > 0 AND gap_ends > at THEN
            verdict := 'wait'; retry_at := gap_ends;
        ELSE
            verdict := 'transmitting';
            UPDATE mailbox_days d SET used = d.used + 1, last_at = at
            WHERE d.mailbox_id = s.mailbox_id AND d.send_day = s.send_day;
        END IF;
    END IF;
    IF verdict = 'transmitting' THEN
        UPDATE sends x SET status = verdict, transmitting_at = at
        WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id AND x.step_id = p_step_id
            AND x.round = p_round AND x.status = 'claimed' AND x.claim = p_claim;
    ELSIF verdict <> 'wait' THEN
        UPDATE sends x SET status = verdict, reason = mark_transmitting.reason, claim = NULL, lease_until = NULL,
            dispatched_at = CASE WHEN verdict = 'planned' THEN NULL ELSE x.dispatched_at END,
            send_at = CASE WHEN verdict = 'planned' THEN retry_at ELSE x.send_at END,
            attempt = x.attempt + (verdict = 'planned')::integer
        WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id AND x.step_id = p_step_id
            AND x.round = p_round AND x.status = 'claimed' AND x.claim = p_claim;
    END IF;
    RETURN NEXT;
END $$;
CREATE FUNCTION public.next_free_place(p_mailbox_id bigint, gap integer, earliest timestamp with time zone, latest timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
    SELECT to_timestamp(cell * gap + p_mailbox_id * 7919 % gap)
    FROM generate_series(
        ceil((extract(epoch FROM earliest) - p_mailbox_id * 7919 % gap) / gap)::bigint,
        floor((extract(epoch FROM latest) - p_mailbox_id * 7919 % gap) / gap)::bigint
    ) AS cell
    WHERE NOT EXISTS (
        SELECT FROM sends o
        WHERE o.mailbox_id = p_mailbox_id AND o.status IN ('planned', 'dispatched', 'claimed', 'transmitting')
            AND o.send_at > to_timestamp((cell - 1) * gap + p_mailbox_id * 7919 % gap)
            AND o.send_at < to_timestamp((cell + 1) * gap + p_mailbox_id * 7919 % gap)
    )
    ORDER BY cell LIMIT 1
$$;
CREATE FUNCTION public.park_mailbox(p_mailbox_id bigint, p_for interval, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    UPDATE mailboxes SET parked_until = clock_timestamp() + p_for, parked_reason = left(p_reason, 200)
    WHERE id = p_mailbox_id AND (parked_until IS NULL OR parked_until <= clock_timestamp());
    IF NOT FOUND THEN RETURN false; END IF;
    INSERT INTO send_events (at, kind, detail) VALUES (clock_timestamp(), 'mailbox_parked',
        jsonb_build_object('mailbox_id', p_mailbox_id, 'reason', p_reason, 'until', clock_timestamp() + p_for));
    RETURN true;
END $$;
CREATE FUNCTION public.read_inboxes() RETURNS TABLE(mailbox_id bigint, address text, imap_host text, imap_port integer, imap_security text, smtp_username text, smtp_secret text, uid_validity bigint, last_uid bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT m.id, m.address, m.imap_host, m.imap_port, m.imap_security, m.smtp_username, m.smtp_secret,
        p.uid_validity, p.last_uid
    FROM mailboxes m LEFT JOIN inbox_positions p ON p.mailbox_id = m.id
    WHERE m.deleted_at IS NULL AND m.imap_host IS NOT NULL AND m.smtp_username IS NOT NULL ORDER BY m.id
$$;
CREATE FUNCTION public.record_event(s public.sends, p_kind text, p_detail jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind, detail)
    VALUES (s.sequence_id, s.contact_id, s.step_id, s.round, clock_timestamp(), p_kind, p_detail)
$$;
CREATE FUNCTION public.record_feedback(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_kind text, p_detail jsonb, p_park_for interval, pads bytea) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    s sends;
BEGIN
    IF p_kind NOT IN ('bounce', 'soft_bounce', 'complaint', 'reply', 'auto_reply', 'delivery') THEN
        RAISE EXCEPTION 'no such kind of feedback: %', p_kind;
    END IF;
    SELECT * INTO s FROM sends x WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id
        AND x.step_id = p_step_id AND x.round = p_round
        AND x.status IN ('sent', 'unknown', 'transmitting', 'hard_failed') FOR UPDATE;
    IF NOT FOUND THEN RETURN 'absent'; END IF;
    IF s.status = 'unknown' AND s.advanced_at IS NULL THEN
        UPDATE sends x SET status = 'sent', reason = 'feedback' WHERE x.sequence_id = p_sequence_id
            AND x.contact_id = p_contact_id AND x.step_id = p_step_id AND x.round = p_round AND x.status = 'unknown';
        INSERT INTO send_counts AS c (mailbox_id, sequence_id, mails) VALUES (s.mailbox_id, s.sequence_id, 1)
        ON CONFLICT (mailbox_id, sequence_id) DO UPDATE SET mails = c.mails + 1;
    ELSIF p_kind = 'delivery' THEN
        RETURN 'known';
    END IF;
    IF EXISTS (SELECT FROM send_events v WHERE v.sequence_id = s.sequence_id AND v.contact_id = s.contact_id
            AND v.step_id = s.step_id AND v.round = s.round AND v.kind = p_kind
            AND (v.detail = p_detail OR p_kind IN ('bounce', 'complaint'))) THEN
        RETURN 'known';
    END IF;
    PERFORM record_event(s, p_kind, p_detail);
    IF p_kind IN ('bounce', 'complaint') THEN
        PERFORM end_enrolment(s, CASE p_kind WHEN 'bounce' THEN 'bounced' ELSE 'unsubscribed' END, p_kind);
        INSERT INTO suppressions (address_hmac, reason, at)
        SELECT address_hmac(c.mail_address, pads), CASE p_kind WHEN 'bounce' THEN 'hard_bounce' ELSE p_kind END,
            clock_timestamp()
        FROM contacts c WHERE c.id = s.contact_id AND c.mail_address LIKE '%@%' ON CONFLICT DO NOTHING;
        PERFORM record_setback(s, p_kind, p_park_for);
    ELSIF p_kind = 'reply' THEN
        UPDATE sequences_contacts e SET status = 'replied', status_reason = 'reply', next_send = NULL
        WHERE e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
            AND e.status IN ('active', 'paused', 'completed');
    END IF;
    RETURN 'recorded';
END $$;
CREATE FUNCTION public.record_setback(s public.sends, p_kind text, p_park_for interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    mailbox_total bigint;
    sequence_total bigint;
    allowed integer := CASE p_kind WHEN 'bounce' THEN 5 WHEN 'complaint' THEN 2 ELSE 3 END;
    within integer := CASE p_kind WHEN 'bounce' THEN 100 WHEN 'complaint' THEN 666 ELSE 1 END;
    why text := CASE p_kind WHEN 'unknown' THEN 'three unknown outcomes in a row' ELSE p_kind || ' rate' END;
BEGIN
    PERFORM pg_advisory_xact_lock(7236003);
    SELECT coalesce(sum(mails), 0) INTO mailbox_total FROM send_counts WHERE mailbox_id = s.mailbox_id;
    SELECT coalesce(sum(mails), 0) INTO sequence_total FROM send_counts WHERE sequence_id = s.sequence_id;
    INSERT INTO setbacks (kind, sequence_id, contact_id, step_id, round, mailbox_id, mailbox_mails, sequence_mails)
    VALUES (p_kind, s.sequence_id, s.contact_id, s.step_id, s.round, s.mailbox_id, mailbox_total, sequence_total)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN false; END IF;
    IF mailbox_total - (SELECT b.mailbox_mails FROM setbacks b WHERE b.mailbox_id = s.mailbox_id
            AND b.kind = p_kind ORDER BY b.id DESC OFFSET allowed - 1 LIMIT 1) < within THEN
        PERFORM park_mailbox(s.mailbox_id,
            CASE WHEN p_park_for > interval '0' THEN p_park_for ELSE interval '24 hours' END, why);
    END IF;
    IF p_kind <> 'unknown' AND sequence_total - (SELECT b.sequence_mails FROM setbacks b
            WHERE b.sequence_id = s.sequence_id AND b.kind = p_kind
            ORDER BY b.id DESC OFFSET allowed - 1 LIMIT 1) < within THEN
        UPDATE sequences SET is_active = false WHERE id = s.sequence_id AND is_active;
        IF FOUND THEN
            PERFORM record_event(s, 'sequence_switched_off', jsonb_build_object('reason', why));
        END IF;
    END IF;
    RETURN true;
END $$;
CREATE FUNCTION public.refuse_to_reopen() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the enrolment of contact % in sequence % has ended (%): enrol it again, which raises its round',
        OLD.contact_id, OLD.sequence_id, OLD.status USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION public.release_claim(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    WITH released AS (
        UPDATE sends SET lease_until = clock_timestamp()
        WHERE sequence_id = p_sequence_id AND contact_id = p_contact_id AND step_id = p_step_id
            AND round = p_round AND claim = p_claim AND status = 'claimed'
        RETURNING 1)
    SELECT EXISTS (SELECT FROM released)
$$;
CREATE FUNCTION public.renew_claim(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, p_lease interval) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    WITH renewed AS (
        UPDATE sends SET lease_until = clock_timestamp() + p_lease
        WHERE sequence_id = p_sequence_id AND contact_id = p_contact_id AND step_id = p_step_id
            AND round = p_round AND claim = p_claim AND status = 'claimed' AND lease_until > clock_timestamp()
        RETURNING 1)
    SELECT EXISTS (SELECT FROM renewed)
$$;
CREATE FUNCTION public.resolve_send(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_as text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
DECLARE
    s sends;
BEGIN
    IF p_as NOT IN ('sent', 'retry') THEN RAISE EXCEPTION 'an unknown send is settled as sent or as retry'; END IF;
    UPDATE sends x SET
        status = CASE p_as WHEN 'sent' THEN 'sent' ELSE 'planned' END,
        reason = 'resolved', claim = NULL, lease_until = NULL,
        transmitting_at = CASE p_as WHEN 'sent' THEN x.transmitting_at END,
        finished_at = CASE p_as WHEN 'sent' THEN x.finished_at END,
        dispatched_at = CASE p_as WHEN 'sent' THEN x.dispatched_at END,
        attempt = x.attempt + (p_as = 'retry')::integer
    WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id AND x.step_id = p_step_id
        AND x.round = p_round AND x.status = 'unknown' AND x.advanced_at IS NULL
    RETURNING * INTO s;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM record_event(s, 'resolved', jsonb_build_object('as', p_as));
    RETURN true;
END $$;
CREATE FUNCTION public.send_gates(pads bytea) RETURNS TABLE(sequence_id bigint, contact_id bigint, step_id bigint, round smallint, mailbox_id bigint, status text, send_at timestamp with time zone, closed text)
    LANGUAGE sql STABLE
    AS $$
    SELECT s.sequence_id, s.contact_id, s.step_id, s.round, s.mailbox_id, s.status, s.send_at, CASE
        WHEN e.contact_id IS NULL OR e.round <> s.round THEN 'enrolment_removed'
        WHEN e.status <> 'active' THEN 'enrolment_' || e.status
        WHEN c.id IS NULL OR c.deleted_at IS NOT NULL OR NOT c.is_active THEN 'contact_inactive'
        WHEN EXISTS (SELECT FROM suppressions x WHERE x.address_hmac = address_hmac(c.mail_address, pads))
            THEN 'suppressed'
        WHEN st.id IS NULL OR st.deleted_at IS NOT NULL THEN 'step_deleted'
        WHEN q.id IS NULL OR q.deleted_at IS NOT NULL OR NOT q.is_active THEN 'sequence_inactive'
        WHEN m.id IS NULL OR m.deleted_at IS NOT NULL OR NOT m.is_active THEN 'mailbox_inactive'
        WHEN m.parked_until > greatest(s.send_at, clock_timestamp()) THEN 'mailbox_parked'
    END
    FROM sends s
    LEFT JOIN sequences_contacts e ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id
    LEFT JOIN contacts c ON c.id = s.contact_id
    LEFT JOIN steps st ON st.id = s.step_id
    LEFT JOIN sequences q ON q.id = s.sequence_id
    LEFT JOIN mailboxes m ON m.id = s.mailbox_id
$$;
CREATE FUNCTION public.stop_contacts(p_contact_ids bigint[], p_status text, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    UPDATE sends s SET status = 'cancelled', reason = p_reason, claim = NULL, lease_until = NULL
    FROM sequences_contacts e
    WHERE e.contact_id = ANY (p_contact_ids) AND s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id
        AND s.status IN ('planned', 'dispatched', 'claimed');
    PERFORM FROM contacts WHERE id = ANY (p_contact_ids) ORDER BY id FOR NO KEY UPDATE;
    DELETE FROM plan_deferrals d USING sequences_contacts e
    WHERE e.contact_id = ANY (p_contact_ids) AND d.sequence_id = e.sequence_id AND d.contact_id = e.contact_id;
    UPDATE sequences_contacts SET status = p_status, status_reason = p_reason, next_send = NULL
    WHERE contact_id = ANY (p_contact_ids) AND status IN ('active', 'paused');
END $$;
CREATE FUNCTION public.suppress_address(p_address text, p_status text, p_reason text, pads bytea) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM stop_contacts(ARRAY(SELECT contacts_of_address(p_address)), p_status,
        CASE p_status WHEN 'unsubscribed' THEN 'unsubscribed' ELSE 'suppressed' END);
    INSERT INTO suppressions AS x (address_hmac, reason) VALUES (address_hmac(p_address, pads), p_reason)
    ON CONFLICT (address_hmac) DO UPDATE SET reason = excluded.reason, at = excluded.at
        WHERE excluded.reason = 'unsubscribed' AND x.reason NOT IN ('unsubscribed', 'complaint', 'erased');
END $$;
CREATE FUNCTION public.switch_off_after_message_faults(s public.sends) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    fifth timestamptz;
BEGIN
    SELECT min(at) INTO fifth FROM (
        SELECT at FROM send_events WHERE step_id = s.step_id AND kind = 'message_fault'
        ORDER BY at DESC LIMIT 5) last HAVING count(*) = 5;
    IF fifth IS NULL OR EXISTS (SELECT FROM sends x WHERE x.step_id = s.step_id AND x.status = 'sent'
            AND x.send_at > fifth - interval '1 day' AND x.finished_at > fifth) THEN
        RETURN;
    END IF;
    UPDATE sequences SET is_active = false WHERE id = s.sequence_id AND is_active;
    IF FOUND THEN
        PERFORM record_event(s, 'sequence_switched_off',
            jsonb_build_object('reason', 'five message faults of one step in a row'));
    END IF;
END $$;
CREATE FUNCTION public.touch_updated() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.updated := now();
    RETURN NEW;
END $$;
CREATE FUNCTION public.unsubscribe(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, pads bytea) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    address text;
BEGIN
    SELECT mail_address INTO address FROM contacts WHERE id = p_contact_id;
    IF address IS NULL THEN RETURN false; END IF;
    IF address <> '' THEN -- an erased contact's address is suppressed since
        PERFORM suppress_address(address, 'unsubscribed', 'unsubscribed', pads);
    END IF;
    INSERT INTO send_events (sequence_id, contact_id, step_id, round, kind)
    SELECT p_sequence_id, p_contact_id, p_step_id, p_round, 'unsubscribed' WHERE NOT EXISTS (
        SELECT FROM send_events v WHERE v.sequence_id = p_sequence_id AND v.contact_id = p_contact_id
            AND v.step_id = p_step_id AND v.round = p_round AND v.kind = 'unsubscribed');
    RETURN true;
END $$;
CREATE TABLE public.api_keys (
    id bigint NOT NULL,
    key_name text NOT NULL,
    key_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_keys_scopes_check CHECK ((cardinality(scopes) > 0))
);
ALTER TABLE public.api_keys ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.api_keys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.archived_sends (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    send_at timestamp(0) with time zone NOT NULL,
    finished_at timestamp with time zone,
    due_day date NOT NULL,
    plan_day date NOT NULL,
    send_day date NOT NULL,
    attempt integer NOT NULL,
    smtp_code integer,
    round smallint NOT NULL,
    status text NOT NULL,
    reason text,
    enhanced_code text,
    provider_message_id text,
    CONSTRAINT archived_sends_status_check CHECK ((status = ANY (ARRAY['sent'::text, 'hard_failed'::text, 'unknown'::text, 'cancelled'::text, 'expired'::text])))
);
CREATE TABLE public.contacts (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    mail_address text NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    deleted_at timestamp with time zone,
    address_hmac bytea,
    CONSTRAINT contacts_attributes_check CHECK ((jsonb_typeof(attributes) = 'object'::text))
);
ALTER TABLE public.contacts ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.contacts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.idempotency_keys (
    api_key_id bigint NOT NULL,
    idempotency_key text NOT NULL,
    fingerprint bytea NOT NULL,
    answer bytea,
    created_id uuid,
    created timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.import_lines (
    import_id bigint NOT NULL,
    line bigint NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT import_lines_outcome_check CHECK ((outcome = ANY (ARRAY['refused'::text, 'flagged'::text, 'merged'::text, 'not_enrolled'::text])))
);
CREATE TABLE public.imports (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    kind text NOT NULL,
    state text DEFAULT 'reading'::text NOT NULL,
    message text,
    rows_read bigint DEFAULT 0 NOT NULL,
    added bigint DEFAULT 0 NOT NULL,
    changed bigint DEFAULT 0 NOT NULL,
    enrolled bigint DEFAULT 0 NOT NULL,
    merged bigint DEFAULT 0 NOT NULL,
    refused bigint DEFAULT 0 NOT NULL,
    flagged bigint DEFAULT 0 NOT NULL,
    not_enrolled bigint DEFAULT 0 NOT NULL,
    ignored_columns text[] DEFAULT '{}'::text[] NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    finished_at timestamp with time zone,
    CONSTRAINT imports_kind_check CHECK ((kind = ANY (ARRAY['contacts'::text, 'suppressions'::text]))),
    CONSTRAINT imports_state_check CHECK ((state = ANY (ARRAY['reading'::text, 'merging'::text, 'done'::text, 'failed'::text])))
);
ALTER TABLE public.imports ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.imports_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.inbox_positions (
    mailbox_id bigint NOT NULL,
    uid_validity bigint NOT NULL,
    last_uid bigint NOT NULL,
    read_at timestamp with time zone NOT NULL
);
CREATE TABLE public.mailbox_days (
    mailbox_id bigint NOT NULL,
    send_day date NOT NULL,
    allowed integer NOT NULL,
    used integer DEFAULT 0 NOT NULL,
    last_at timestamp with time zone,
    CONSTRAINT mailbox_days_allowed_check CHECK ((allowed >= 0)),
    CONSTRAINT mailbox_days_used_check CHECK ((used >= 0))
)
WITH (fillfactor='50');
CREATE TABLE public.mailboxes (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    address text NOT NULL,
    display_name text,
    send_limit integer NOT NULL,
    send_start_time time without time zone NOT NULL,
    send_end_time time without time zone NOT NULL,
    time_zone text DEFAULT 'UTC'::text NOT NULL,
    send_days smallint[] DEFAULT '{1,2,3,4,5,6,7}'::smallint[] NOT NULL,
    holiday_calendar text,
    min_gap_seconds integer DEFAULT 0 NOT NULL,
    max_first_mails integer,
    ramp_up_start integer,
    ramp_up_daily_increment integer,
    ramp_up_started date,
    is_active boolean DEFAULT true NOT NULL,
    parked_until timestamp with time zone,
    parked_reason text,
    tracking_host text,
    smtp_host text,
    smtp_port integer,
    smtp_security text,
    smtp_username text,
    smtp_secret text,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    deleted_at timestamp with time zone,
    imap_host text,
    imap_port integer,
    imap_security text,
    CONSTRAINT mailboxes_imap_port_check CHECK (((imap_port >= 1) AND (imap_port <= 65535))),
    CONSTRAINT mailboxes_imap_security_check CHECK ((imap_security = ANY (ARRAY['none'::text, 'starttls'::text, 'tls'::text]))),
    CONSTRAINT mailboxes_max_first_mails_check CHECK ((max_first_mails >= 0)),
    CONSTRAINT mailboxes_min_gap_seconds_check CHECK (((min_gap_seconds >= 0) AND (min_gap_seconds <= 86400))),
    CONSTRAINT mailboxes_ramp_up_daily_increment_check CHECK ((ramp_up_daily_increment >= 0)),
    CONSTRAINT mailboxes_ramp_up_start_check CHECK ((ramp_up_start >= 0)),
    CONSTRAINT mailboxes_send_days_check CHECK ((send_days <@ '{1,2,3,4,5,6,7}'::smallint[])),
    CONSTRAINT mailboxes_send_limit_check CHECK ((send_limit >= 0)),
    CONSTRAINT mailboxes_smtp_port_check CHECK (((smtp_port >= 1) AND (smtp_port <= 65535))),
    CONSTRAINT mailboxes_smtp_security_check CHECK ((smtp_security = ANY (ARRAY['none'::text, 'starttls'::text, 'tls'::text])))
);
ALTER TABLE public.mailboxes ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.mailboxes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.plan_deferrals (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    plan_day date NOT NULL,
    reason text NOT NULL
);
CREATE TABLE public.send_counts (
    mailbox_id bigint NOT NULL,
    sequence_id bigint NOT NULL,
    mails bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='50');
CREATE TABLE public.send_events (
    id bigint NOT NULL,
    sequence_id bigint,
    contact_id bigint,
    step_id bigint,
    round smallint,
    at timestamp with time zone DEFAULT now() NOT NULL,
    kind text NOT NULL,
    actor text DEFAULT SESSION_USER NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL
);
ALTER TABLE public.send_events ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.send_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sequences (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    sequence_name character varying(255) NOT NULL,
    open_tracking_enabled boolean DEFAULT false NOT NULL,
    click_tracking_enabled boolean DEFAULT false NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    max_new_per_day integer,
    priority integer DEFAULT 0 NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    deleted_at timestamp with time zone,
    CONSTRAINT sequences_max_new_per_day_check CHECK ((max_new_per_day >= 0))
);
CREATE TABLE public.sequences_contacts (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    round smallint DEFAULT 1 NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    status_reason text,
    current_step integer DEFAULT 1 NOT NULL,
    next_send date,
    last_send date,
    mailbox_id bigint,
    CONSTRAINT sequences_contacts_current_step_check CHECK ((current_step >= 1)),
    CONSTRAINT sequences_contacts_round_check CHECK ((round >= 1)),
    CONSTRAINT sequences_contacts_status_check CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'completed'::text, 'replied'::text, 'bounced'::text, 'unsubscribed'::text, 'removed'::text])))
)
WITH (fillfactor='80');
ALTER TABLE public.sequences ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sequences_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sequences_mailboxes (
    sequence_id bigint NOT NULL,
    mailbox_id bigint NOT NULL
);
CREATE TABLE public.setbacks (
    kind text NOT NULL,
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    mailbox_id bigint NOT NULL,
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    mailbox_mails bigint NOT NULL,
    sequence_mails bigint NOT NULL,
    CONSTRAINT setbacks_kind_check CHECK ((kind = ANY (ARRAY['bounce'::text, 'complaint'::text, 'unknown'::text])))
);
ALTER TABLE public.setbacks ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.setbacks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.steps (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    sequence_id bigint NOT NULL,
    step_name character varying(255),
    step_number integer NOT NULL,
    mail_subject character varying(255),
    mail_content text NOT NULL,
    delay_days integer DEFAULT 0 NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    deleted_at timestamp with time zone,
    CONSTRAINT steps_delay_days_check CHECK (((delay_days >= 0) AND (delay_days <= 36500))),
    CONSTRAINT steps_step_number_check CHECK ((step_number >= 1))
);
ALTER TABLE public.steps ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.steps_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.suppressions (
    address_hmac bytea NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL
);
ALTER TABLE public.suppressions ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.suppressions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.archived_sends
    ADD CONSTRAINT archived_sends_pkey PRIMARY KEY (sequence_id, contact_id, step_id, round);
ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (api_key_id, idempotency_key);
ALTER TABLE ONLY public.import_lines
    ADD CONSTRAINT import_lines_pkey PRIMARY KEY (import_id, line, outcome);
ALTER TABLE ONLY public.imports
    ADD CONSTRAINT imports_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.imports
    ADD CONSTRAINT imports_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.inbox_positions
    ADD CONSTRAINT inbox_positions_pkey PRIMARY KEY (mailbox_id);
ALTER TABLE ONLY public.mailbox_days
    ADD CONSTRAINT mailbox_days_pkey PRIMARY KEY (mailbox_id, send_day);
ALTER TABLE ONLY public.mailboxes
    ADD CONSTRAINT mailboxes_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.mailboxes
    ADD CONSTRAINT mailboxes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.plan_deferrals
    ADD CONSTRAINT plan_deferrals_pkey PRIMARY KEY (sequence_id, contact_id);
ALTER TABLE ONLY public.send_counts
    ADD CONSTRAINT send_counts_pkey PRIMARY KEY (mailbox_id, sequence_id);
ALTER TABLE ONLY public.send_events
    ADD CONSTRAINT send_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sends
    ADD CONSTRAINT sends_pkey PRIMARY KEY (sequence_id, contact_id, step_id, round);
ALTER TABLE ONLY public.sequences_contacts
    ADD CONSTRAINT sequences_contacts_pkey PRIMARY KEY (sequence_id, contact_id);
ALTER TABLE ONLY public.sequences
    ADD CONSTRAINT sequences_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.sequences_mailboxes
    ADD CONSTRAINT sequences_mailboxes_pkey PRIMARY KEY (sequence_id, mailbox_id);
ALTER TABLE ONLY public.sequences
    ADD CONSTRAINT sequences_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.setbacks
    ADD CONSTRAINT setbacks_pkey PRIMARY KEY (kind, sequence_id, contact_id, step_id, round);
ALTER TABLE ONLY public.steps
    ADD CONSTRAINT steps_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.steps
    ADD CONSTRAINT steps_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_id_key UNIQUE (id);
ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_pkey PRIMARY KEY (address_hmac);
CREATE INDEX contacts_active ON public.contacts USING btree (id) WHERE ((deleted_at IS NULL) AND is_active);
CREATE INDEX contacts_address_hmac_id ON public.contacts USING btree (address_hmac) INCLUDE (id);
CREATE INDEX contacts_deleted_address ON public.contacts USING btree (lower(mail_address)) WHERE (deleted_at IS NOT NULL);
CREATE INDEX contacts_inactive ON public.contacts USING btree (id) WHERE ((deleted_at IS NULL) AND (NOT is_active));
CREATE INDEX contacts_inactive_address ON public.contacts USING btree (lower(mail_address)) WHERE ((deleted_at IS NULL) AND (NOT is_active));
CREATE INDEX contacts_live ON public.contacts USING btree (id) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX contacts_mail_address_key ON public.contacts USING btree (lower(mail_address)) WHERE (deleted_at IS NULL);
CREATE INDEX contacts_unmailable ON public.contacts USING btree (id) WHERE ((NOT is_active) OR (deleted_at IS NOT NULL) OR (mail_address !~ '^[^@[:space:]<>,;]+@[^@[:space:]<>,;]+$'::text));
CREATE INDEX idempotency_keys_created ON public.idempotency_keys USING btree (created);
CREATE INDEX idempotency_keys_created_id ON public.idempotency_keys USING btree (created_id);
CREATE INDEX mailboxes_active ON public.mailboxes USING btree (id) WHERE ((deleted_at IS NULL) AND is_active);
CREATE UNIQUE INDEX mailboxes_address_key ON public.mailboxes USING btree (address) WHERE (deleted_at IS NULL);
CREATE INDEX mailboxes_inactive ON public.mailboxes USING btree (id) WHERE ((deleted_at IS NULL) AND (NOT is_active));
CREATE INDEX mailboxes_live ON public.mailboxes USING btree (id) WHERE (deleted_at IS NULL);
CREATE INDEX send_counts_sequence ON public.send_counts USING btree (sequence_id);
CREATE INDEX send_events_send ON public.send_events USING btree (sequence_id, contact_id, step_id, round);
CREATE INDEX send_events_step ON public.send_events USING btree (step_id, kind, at);
CREATE INDEX sends_send_at ON public.sends USING btree (send_at);
CREATE INDEX sends_with_reason ON public.sends USING btree (sequence_id, contact_id) WHERE (reason IS NOT NULL);
CREATE INDEX sequences_active ON public.sequences USING btree (id) WHERE ((deleted_at IS NULL) AND is_active);
CREATE INDEX sequences_contacts_by_status ON public.sequences_contacts USING btree (sequence_id, status, contact_id);
CREATE INDEX sequences_contacts_contact ON public.sequences_contacts USING btree (contact_id);
CREATE INDEX sequences_inactive ON public.sequences USING btree (id) WHERE ((deleted_at IS NULL) AND (NOT is_active));
CREATE INDEX sequences_live ON public.sequences USING btree (id) WHERE (deleted_at IS NULL);
CREATE INDEX sequences_mailboxes_mailbox ON public.sequences_mailboxes USING btree (mailbox_id);
CREATE UNIQUE INDEX sequences_name_key ON public.sequences USING btree (sequence_name) WHERE (deleted_at IS NULL);
CREATE INDEX setbacks_mailbox ON public.setbacks USING btree (mailbox_id, kind, id);
CREATE INDEX setbacks_sequence ON public.setbacks USING btree (sequence_id, kind, id);
CREATE UNIQUE INDEX steps_number_key ON public.steps USING btree (sequence_id, step_number) WHERE (deleted_at IS NULL);
CREATE TRIGGER contacts_address_changed BEFORE UPDATE OF mail_address ON public.contacts FOR EACH ROW WHEN ((new.mail_address IS DISTINCT FROM old.mail_address)) EXECUTE FUNCTION public.forget_address_hmac();
CREATE TRIGGER contacts_forget_answers AFTER UPDATE OF mail_address ON public.contacts FOR EACH ROW WHEN ((old.mail_address IS DISTINCT FROM new.mail_address)) EXECUTE FUNCTION public.forget_answers();
CREATE TRIGGER contacts_updated BEFORE UPDATE OF name, mail_address, is_active, attributes, deleted_at ON public.contacts FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
CREATE TRIGGER imports_updated BEFORE UPDATE ON public.imports FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
CREATE TRIGGER mailboxes_updated BEFORE UPDATE ON public.mailboxes FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
CREATE TRIGGER sequences_contacts_stay_ended BEFORE UPDATE OF status, round ON public.sequences_contacts FOR EACH ROW WHEN (((new.round < old.round) OR ((new.round = old.round) AND (new.status = ANY (ARRAY['active'::text, 'paused'::text])) AND (old.status <> ALL (ARRAY['active'::text, 'paused'::text]))))) EXECUTE FUNCTION public.refuse_to_reopen();
CREATE TRIGGER sequences_updated BEFORE UPDATE ON public.sequences FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
CREATE TRIGGER steps_updated BEFORE UPDATE ON public.steps FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
ALTER TABLE ONLY public.import_lines
    ADD CONSTRAINT import_lines_import_id_fkey FOREIGN KEY (import_id) REFERENCES public.imports(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.sequences_contacts
    ADD CONSTRAINT sequences_contacts_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES public.contacts(id);
ALTER TABLE ONLY public.sequences_contacts
    ADD CONSTRAINT sequences_contacts_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);
ALTER TABLE ONLY public.sequences_mailboxes
    ADD CONSTRAINT sequences_mailboxes_mailbox_id_fkey FOREIGN KEY (mailbox_id) REFERENCES public.mailboxes(id);
ALTER TABLE ONLY public.sequences_mailboxes
    ADD CONSTRAINT sequences_mailboxes_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);
ALTER TABLE ONLY public.steps
    ADD CONSTRAINT steps_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO sequence_api;
GRANT USAGE ON SCHEMA public TO sequence_pipeline;
GRANT USAGE ON SCHEMA public TO sequence_worker;
GRANT USAGE ON SCHEMA public TO sequence_readonly;
REVOKE ALL ON FUNCTION public.address_hmac(address text, pads bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.address_hmac(address text, pads bytea) TO sequence_api;
GRANT ALL ON FUNCTION public.address_hmac(address text, pads bytea) TO sequence_pipeline;
REVOKE ALL ON FUNCTION public.archive_sends(p_from timestamp with time zone, p_before timestamp with time zone, p_batch integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.archive_sends(p_from timestamp with time zone, p_before timestamp with time zone, p_batch integer) TO sequence_pipeline;
REVOKE ALL ON FUNCTION public.cancel_step_sends(p_step_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.cancel_step_sends(p_step_id bigint) TO sequence_api;
REVOKE ALL ON FUNCTION public.claim_send(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_attempt integer, p_claim uuid, p_lease interval, pads bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.claim_send(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_attempt integer, p_claim uuid, p_lease interval, pads bytea) TO sequence_worker;
GRANT SELECT ON TABLE public.sends TO sequence_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.sends TO sequence_pipeline;
GRANT SELECT ON TABLE public.sends TO sequence_readonly;
REVOKE ALL ON FUNCTION public.closed_gate(s public.sends, pads bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.confirm_limit(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.confirm_limit(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid) TO sequence_worker;
REVOKE ALL ON FUNCTION public.contacts_of_address(p_address text) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.end_enrolment(s public.sends, p_status text, p_reason text) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.erase_contact(p_contact uuid, pads bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.erase_contact(p_contact uuid, pads bytea) TO sequence_api;
REVOKE ALL ON FUNCTION public.finish_send(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, p_outcome text, p_fault text, p_reason text, p_smtp_code integer, p_enhanced_code text, p_smtp_reply text, p_provider_message_id text, p_retry_after interval, p_park_for interval, pads bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.finish_send(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, p_outcome text, p_fault text, p_reason text, p_smtp_code integer, p_enhanced_code text, p_smtp_reply text, p_provider_message_id text, p_retry_after interval, p_park_for interval, pads bytea) TO sequence_worker;
REVOKE ALL ON FUNCTION public.forget_address_hmac() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.forget_answers() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.keep_inbox_position(p_mailbox_id bigint, p_uid_validity bigint, p_last_uid bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.keep_inbox_position(p_mailbox_id bigint, p_uid_validity bigint, p_last_uid bigint) TO sequence_worker;
REVOKE ALL ON FUNCTION public.keep_secret(p_mailbox_id bigint, p_before text, p_after text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.keep_secret(p_mailbox_id bigint, p_before text, p_after text) TO sequence_worker;
REVOKE ALL ON FUNCTION public.mark_transmitting(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, pads bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.mark_transmitting(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, pads bytea) TO sequence_worker;
REVOKE ALL ON FUNCTION public.next_free_place(p_mailbox_id bigint, gap integer, earliest timestamp with time zone, latest timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.park_mailbox(p_mailbox_id bigint, p_for interval, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.park_mailbox(p_mailbox_id bigint, p_for interval, p_reason text) TO sequence_pipeline;
GRANT ALL ON FUNCTION public.park_mailbox(p_mailbox_id bigint, p_for interval, p_reason text) TO sequence_worker;
REVOKE ALL ON FUNCTION public.read_inboxes() FROM PUBLIC;
GRANT ALL ON FUNCTION public.read_inboxes() TO sequence_worker;
REVOKE ALL ON FUNCTION public.record_event(s public.sends, p_kind text, p_detail jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_event(s public.sends, p_kind text, p_detail jsonb) TO sequence_pipeline;
REVOKE ALL ON FUNCTION public.record_feedback(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_kind text, p_detail jsonb, p_park_for interval, pads bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_feedback(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_kind text, p_detail jsonb, p_park_for interval, pads bytea) TO sequence_worker;
GRANT ALL ON FUNCTION public.record_feedback(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_kind text, p_detail jsonb, p_park_for interval, pads bytea) TO sequence_pipeline;
REVOKE ALL ON FUNCTION public.record_setback(s public.sends, p_kind text, p_park_for interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_setback(s public.sends, p_kind text, p_park_for interval) TO sequence_pipeline;
REVOKE ALL ON FUNCTION public.refuse_to_reopen() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.release_claim(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.release_claim(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid) TO sequence_worker;
REVOKE ALL ON FUNCTION public.renew_claim(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, p_lease interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.renew_claim(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, p_lease interval) TO sequence_worker;
REVOKE ALL ON FUNCTION public.resolve_send(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_as text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.resolve_send(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_as text) TO sequence_pipeline;
REVOKE ALL ON FUNCTION public.send_gates(pads bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.send_gates(pads bytea) TO sequence_pipeline;
REVOKE ALL ON FUNCTION public.stop_contacts(p_contact_ids bigint[], p_status text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.stop_contacts(p_contact_ids bigint[], p_status text, p_reason text) TO sequence_api;
REVOKE ALL ON FUNCTION public.suppress_address(p_address text, p_status text, p_reason text, pads bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.suppress_address(p_address text, p_status text, p_reason text, pads bytea) TO sequence_api;
REVOKE ALL ON FUNCTION public.switch_off_after_message_faults(s public.sends) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.touch_updated() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.unsubscribe(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, pads bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.unsubscribe(p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, pads bytea) TO sequence_api;
GRANT SELECT ON TABLE public.api_keys TO sequence_api;
GRANT SELECT ON TABLE public.archived_sends TO sequence_api;
GRANT SELECT ON TABLE public.archived_sends TO sequence_pipeline;
GRANT SELECT ON TABLE public.archived_sends TO sequence_readonly;
GRANT SELECT,INSERT,UPDATE ON TABLE public.contacts TO sequence_api;
GRANT SELECT ON TABLE public.contacts TO sequence_pipeline;
GRANT SELECT ON TABLE public.contacts TO sequence_readonly;
GRANT UPDATE(address_hmac) ON TABLE public.contacts TO sequence_pipeline;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.idempotency_keys TO sequence_api;
GRANT SELECT,INSERT ON TABLE public.import_lines TO sequence_api;
GRANT SELECT ON TABLE public.import_lines TO sequence_readonly;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.imports TO sequence_api;
GRANT SELECT ON TABLE public.imports TO sequence_readonly;
GRANT SELECT ON TABLE public.inbox_positions TO sequence_pipeline;
GRANT SELECT ON TABLE public.inbox_positions TO sequence_readonly;
GRANT SELECT ON TABLE public.mailbox_days TO sequence_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.mailbox_days TO sequence_pipeline;
GRANT SELECT ON TABLE public.mailbox_days TO sequence_readonly;
GRANT INSERT,UPDATE ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(id) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(id) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(id) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(external_id) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(external_id) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(external_id) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(address) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(address) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(address) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(display_name) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(display_name) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(display_name) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(send_limit) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(send_limit) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(send_limit) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(send_start_time) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(send_start_time) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(send_start_time) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(send_end_time) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(send_end_time) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(send_end_time) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(time_zone) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(time_zone) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(time_zone) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(send_days) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(send_days) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(send_days) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(holiday_calendar) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(holiday_calendar) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(holiday_calendar) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(min_gap_seconds) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(min_gap_seconds) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(min_gap_seconds) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(max_first_mails) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(max_first_mails) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(max_first_mails) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(ramp_up_start) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(ramp_up_start) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(ramp_up_start) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(ramp_up_daily_increment) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(ramp_up_daily_increment) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(ramp_up_daily_increment) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(ramp_up_started) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(ramp_up_started) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(ramp_up_started) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(is_active) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(is_active) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(is_active) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(parked_until) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(parked_until) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(parked_until) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(parked_reason) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(parked_reason) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(parked_reason) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(tracking_host) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(tracking_host) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(tracking_host) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(smtp_host) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(smtp_host) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(smtp_host) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(smtp_port) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(smtp_port) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(smtp_port) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(smtp_security) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(smtp_security) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(smtp_security) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(smtp_username) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(smtp_username) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(smtp_username) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(created) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(created) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(created) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(updated) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(updated) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(updated) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(deleted_at) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(deleted_at) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(deleted_at) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(imap_host) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(imap_host) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(imap_host) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(imap_port) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(imap_port) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(imap_port) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(imap_security) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(imap_security) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(imap_security) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT ON TABLE public.plan_deferrals TO sequence_api;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.plan_deferrals TO sequence_pipeline;
GRANT SELECT ON TABLE public.plan_deferrals TO sequence_readonly;
GRANT SELECT ON TABLE public.send_counts TO sequence_pipeline;
GRANT SELECT ON TABLE public.send_counts TO sequence_readonly;
GRANT SELECT,INSERT ON TABLE public.send_events TO sequence_api;
GRANT SELECT,INSERT ON TABLE public.send_events TO sequence_pipeline;
GRANT SELECT ON TABLE public.send_events TO sequence_readonly;
GRANT SELECT,INSERT,UPDATE ON TABLE public.sequences TO sequence_api;
GRANT SELECT ON TABLE public.sequences TO sequence_pipeline;
GRANT SELECT ON TABLE public.sequences TO sequence_readonly;
GRANT UPDATE(is_active) ON TABLE public.sequences TO sequence_pipeline;
GRANT SELECT,INSERT,UPDATE ON TABLE public.sequences_contacts TO sequence_api;
GRANT SELECT,UPDATE ON TABLE public.sequences_contacts TO sequence_pipeline;
GRANT SELECT ON TABLE public.sequences_contacts TO sequence_readonly;
GRANT SELECT,INSERT,DELETE ON TABLE public.sequences_mailboxes TO sequence_api;
GRANT SELECT ON TABLE public.sequences_mailboxes TO sequence_pipeline;
GRANT SELECT ON TABLE public.sequences_mailboxes TO sequence_readonly;
GRANT SELECT ON TABLE public.setbacks TO sequence_pipeline;
GRANT SELECT ON TABLE public.setbacks TO sequence_readonly;
GRANT SELECT,INSERT,UPDATE ON TABLE public.steps TO sequence_api;
GRANT SELECT ON TABLE public.steps TO sequence_pipeline;
GRANT SELECT ON TABLE public.steps TO sequence_readonly;
GRANT SELECT,INSERT,DELETE ON TABLE public.suppressions TO sequence_api;
GRANT SELECT,INSERT ON TABLE public.suppressions TO sequence_pipeline;
GRANT SELECT ON TABLE public.suppressions TO sequence_readonly;
