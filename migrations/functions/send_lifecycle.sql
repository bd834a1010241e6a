-- Moves a send through its states (docs/states.md). Each call is one transaction and names the states that
-- it expects; only the database's clock decides. Locks are taken in the order send, contact, mailbox_days,
-- enrolment.

CREATE OR REPLACE FUNCTION record_event(s sends, p_kind text, p_detail jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind, detail)
    VALUES (s.sequence_id, s.contact_id, s.step_id, s.round, clock_timestamp(), p_kind, p_detail)
$$;

-- planned, dispatched, or claimed with an expired lease -> claimed; returns what the worker needs to build
-- the mail.
-- verdict: claimed | early (retry_at) | held by another worker (retry_at) | stale (older attempt, or
-- finished) | cancelled (reason) | expired | absent.
CREATE OR REPLACE FUNCTION claim_send(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_attempt integer,
    p_claim uuid, p_lease interval, pads bytea)
RETURNS TABLE (
    verdict text, reason text, retry_at timestamptz,
    mailbox_id bigint, send_day date, send_at timestamptz, not_after timestamptz,
    contact_name text, contact_address text, contact_attributes jsonb, contact_external_id uuid,
    sequence_external_id uuid, open_tracking_enabled boolean, click_tracking_enabled boolean,
    mail_subject text, mail_content text, thread_subject text, thread_step_ids bigint[],
    mailbox_address text, mailbox_display_name text, tracking_host text,
    smtp_host text, smtp_port integer, smtp_security text, smtp_username text, smtp_secret text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
            -- The mails of this round. Those from the same mailbox are the thread that this mail continues.
            -- If a follow-up moved to another mailbox, the thread is new and the subject stays.
            SELECT
                array_agg(b.step_id ORDER BY b.send_at)
                    FILTER (WHERE b.mailbox_id = s.mailbox_id) AS step_ids,
                (array_agg(bs.mail_subject ORDER BY (b.mailbox_id = s.mailbox_id) DESC, b.send_at)
                    FILTER (WHERE bs.mail_subject <> ''))[1] AS subject
            FROM sends b JOIN steps bs ON bs.id = b.step_id
            WHERE b.sequence_id = p_sequence_id AND b.contact_id = p_contact_id AND b.round = p_round
                AND b.status IN ('sent', 'unknown') AND b.step_id <> p_step_id) t
        WHERE c.id = p_contact_id AND q.id = p_sequence_id AND st.id = p_step_id AND m.id = s.mailbox_id;
    END IF;
    RETURN NEXT;
END $$;

-- What the content of a step is: auto, text or html. The worker needs it to build the mail.
CREATE OR REPLACE FUNCTION mail_format_of(p_step_id bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT mail_format FROM steps WHERE id = p_step_id
$$;

-- Extends the lease of a claim; false if the claim is no longer held.
CREATE OR REPLACE FUNCTION renew_claim(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid,
    p_lease interval)
RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH renewed AS (
        UPDATE sends SET lease_until = clock_timestamp() + p_lease
        WHERE sequence_id = p_sequence_id AND contact_id = p_contact_id AND step_id = p_step_id
            AND round = p_round AND claim = p_claim AND status = 'claimed' AND lease_until > clock_timestamp()
        RETURNING 1)
    SELECT EXISTS (SELECT FROM renewed)
$$;

-- Ends the lease of a claim now, so that another worker can claim the send; called by a worker that stops.
CREATE OR REPLACE FUNCTION release_claim(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid)
RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH released AS (
        UPDATE sends SET lease_until = clock_timestamp()
        WHERE sequence_id = p_sequence_id AND contact_id = p_contact_id AND step_id = p_step_id
            AND round = p_round AND claim = p_claim AND status = 'claimed'
        RETURNING 1)
    SELECT EXISTS (SELECT FROM released)
$$;

-- claimed -> transmitting, after RCPT and directly before DATA. It reads again everything that may forbid
-- the mail, with the contact locked against a concurrent unsubscribe, and counts the mail against the day's
-- limit.
-- verdict: transmitting | wait (retry_at: the gap ends within 5 seconds; nothing changed) | planned (the
-- gap: moved to a later place, retry_at) | cancelled (reason) | expired | fenced (the caller does not hold
-- the claim).
CREATE OR REPLACE FUNCTION mark_transmitting(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, pads bytea)
RETURNS TABLE (verdict text, reason text, retry_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    s sends;
    m mailboxes;
    day mailbox_days;
    at timestamptz;
    gap_ends timestamptz;
BEGIN
    -- First, and until the transaction ends: pause_all waits for it, so that no mail starts after the pause.
    -- closed_gate below reads what was committed before.
    PERFORM pg_advisory_xact_lock_shared(72369);
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
        INSERT INTO mailbox_days (mailbox_id, send_day, allowed)
            VALUES (s.mailbox_id, s.send_day, m.send_limit)
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
        UPDATE sends x SET status = verdict, reason = mark_transmitting.reason,
            claim = NULL, lease_until = NULL,
            dispatched_at = CASE WHEN verdict = 'planned' THEN NULL ELSE x.dispatched_at END,
            send_at = CASE WHEN verdict = 'planned' THEN retry_at ELSE x.send_at END,
            attempt = x.attempt + (verdict = 'planned')::integer
        WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id AND x.step_id = p_step_id
            AND x.round = p_round AND x.status = 'claimed' AND x.claim = p_claim;
    END IF;
    RETURN NEXT;
END $$;

-- Pauses all sending; false if it is paused already. It waits for every transaction that is at the gate
-- before DATA; what passed the gate is committed as transmitting, and the next one reads the pause. It is
-- called in a transaction of its own, because the gates wait until that ends.
CREATE OR REPLACE FUNCTION pause_all(p_reason text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(72369);
    INSERT INTO pauses (reason) VALUES (p_reason)
        ON CONFLICT ((resumed_at IS NULL)) WHERE resumed_at IS NULL DO NOTHING;
    RETURN FOUND;
END $$;

-- Called when the Valkey counter of a mailbox's day is used up. Only the count in Postgres cancels the send.
-- `remaining` is what the counter is set to if it was wrong.
CREATE OR REPLACE FUNCTION confirm_limit(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid)
RETURNS TABLE (cancelled boolean, remaining integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s sends;
BEGIN
    SELECT * INTO s FROM sends x WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id
        AND x.step_id = p_step_id AND x.round = p_round FOR UPDATE;
    SELECT greatest(0, least(coalesce(d.allowed, m.send_limit), m.send_limit) - coalesce(d.used, 0))
    INTO remaining
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

-- Records the outcome of an attempt, reported by the claim's holder. Returns the state of the row now; no
-- row if the caller does not hold the claim. A mail that a server answered is counted; a bounce, an unknown
-- outcome or a refusal by policy is a reputation event, recorded in the same transaction.
--   sent, unknown   from transmitting; sent also from unknown (a late answer) until the send is advanced
--   hard_failed     the recipient refuses for good: the enrolment is bounced, and the address suppressed if
--                   p_suppresses
--   expired         refused for today: the planner uses a later date. p_counted is what counts the date
--                   (refusals.sql); the last date makes it hard_failed
--   soft_failed     back to planned at now + p_retry_after, or expired
--   cancelled       a message fault pauses the enrolment; the mailbox's fault parks it if p_parks is now
-- p_parks is what a fault of the mailbox does to it (blame_mailbox), p_park_for how long it is parked.
CREATE OR REPLACE FUNCTION finish_attempt(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid,
    p_outcome text, p_fault text, p_reason text, p_cause text, p_suppresses boolean, p_parks text,
    p_counted text, p_smtp_code integer, p_enhanced_code text, p_smtp_reply text, p_provider_message_id text,
    p_retry_after interval, p_park_for interval, pads bytea)
RETURNS TABLE (status text, reason text, send_at timestamptz, attempt integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    s sends;
    at timestamptz;
    ended text := p_outcome;
    why text := p_reason;
    refused boolean := p_outcome IN ('soft_failed', 'expired');
BEGIN
    SELECT * INTO s FROM sends x WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id
        AND x.step_id = p_step_id AND x.round = p_round AND x.claim = p_claim FOR UPDATE;
    at := clock_timestamp();
    IF s.status IS NULL OR NOT (CASE p_outcome
            WHEN 'sent' THEN s.status = 'transmitting' OR (s.status = 'unknown' AND s.advanced_at IS NULL)
            WHEN 'unknown' THEN s.status = 'transmitting'
            WHEN 'hard_failed' THEN s.status IN ('claimed', 'transmitting')
            WHEN 'soft_failed' THEN s.status IN ('claimed', 'transmitting')
            WHEN 'expired' THEN s.status IN ('claimed', 'transmitting')
            WHEN 'cancelled' THEN s.status IN ('claimed', 'transmitting')
            ELSE false END) THEN
        RETURN;
    END IF;
    IF refused THEN
        PERFORM record_event(s, 'soft_failure', jsonb_build_object('fault', p_fault,
            'reason', coalesce(p_cause, p_reason), 'code', p_smtp_code, 'enhanced_code', p_enhanced_code,
            'attempt', s.attempt));
    END IF;
    IF p_outcome = 'soft_failed' THEN
        ended := CASE WHEN at + p_retry_after > s.not_after THEN 'expired' ELSE 'planned' END;
    ELSIF p_counted IS NOT NULL AND count_refusal(s, p_counted, pads) THEN
        ended := 'hard_failed'; why := 'soft_failures';
    END IF;
    UPDATE sends x SET status = ended, reason = left(why, 200),
        smtp_code = p_smtp_code, enhanced_code = left(p_enhanced_code, 20),
        smtp_reply = left(p_smtp_reply, 500),
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
    IF ended = 'sent' OR (p_smtp_code IS NOT NULL AND (ended = 'hard_failed' OR p_parks = 'counts')) THEN
        PERFORM count_mail(s);
    END IF;
    IF ended = 'sent' THEN
        PERFORM note_accepted(s, pads);
    ELSIF ended = 'hard_failed' THEN
        PERFORM end_enrolment(s, 'bounced', coalesce(p_enhanced_code, p_smtp_code::text, why));
        IF p_suppresses THEN
            PERFORM suppress_recipient(s, 'hard_bounce', NULL, pads);
        END IF;
        IF p_smtp_code IS NOT NULL THEN
            PERFORM record_reputation_event(s, 'bounce', p_park_for);
        END IF;
    ELSIF ended = 'unknown' THEN
        PERFORM record_reputation_event(s, 'unknown', p_park_for);
    ELSIF ended = 'cancelled' AND p_fault = 'message' THEN
        PERFORM record_event(s, 'message_fault', jsonb_build_object('reason', p_reason));
        PERFORM end_enrolment(s, 'paused', left(p_reason, 200));
        PERFORM switch_off_after_message_faults(s);
    END IF;
    PERFORM blame_mailbox(s, p_parks, coalesce(p_cause, p_reason), p_park_for, pads);
    RETURN NEXT;
END $$;

-- finish_attempt as workers of the previous release call it; the next release drops it.
CREATE OR REPLACE FUNCTION finish_send(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid,
    p_outcome text, p_fault text, p_reason text, p_smtp_code integer, p_enhanced_code text, p_smtp_reply text,
    p_provider_message_id text, p_retry_after interval, p_park_for interval, pads bytea)
RETURNS TABLE (status text, reason text, send_at timestamptz, attempt integer)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM finish_attempt(p_sequence_id, p_contact_id, p_step_id, p_round, p_claim, p_outcome, p_fault,
        p_reason, p_reason, p_outcome = 'hard_failed', CASE WHEN p_fault = 'mailbox' THEN 'now' ELSE 'no' END,
        NULL, p_smtp_code, p_enhanced_code, p_smtp_reply, p_provider_message_id, p_retry_after, p_park_for,
        pads)
$$;

-- unknown -> sent, or -> planned (p_as 'retry'): an operator settles an unknown send, once and before it is
-- advanced.
CREATE OR REPLACE FUNCTION resolve_send(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_as text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s sends;
BEGIN
    IF p_as NOT IN ('sent', 'retry') THEN
        RAISE EXCEPTION 'an unknown send can be resolved only as sent or as retry';
    END IF;
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

-- Cancels the sends of a deleted step that are not yet being transmitted; returns how many.
CREATE OR REPLACE FUNCTION cancel_step_sends(p_step_id bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH cancelled AS (
        UPDATE sends SET status = 'cancelled', reason = 'step_deleted', claim = NULL, lease_until = NULL
        WHERE step_id = p_step_id AND status IN ('planned', 'dispatched', 'claimed')
            AND sequence_id = (SELECT sequence_id FROM steps WHERE id = p_step_id)
        RETURNING 1)
    SELECT count(*) FROM cancelled
$$;

REVOKE EXECUTE ON FUNCTION record_event, claim_send, mail_format_of, renew_claim, release_claim,
    mark_transmitting, confirm_limit, finish_attempt, finish_send, resolve_send, cancel_step_sends, pause_all
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION claim_send, mail_format_of, renew_claim, release_claim, mark_transmitting,
    confirm_limit, finish_attempt, finish_send TO sequence_worker;
GRANT EXECUTE ON FUNCTION record_event, resolve_send TO sequence_pipeline;
GRANT EXECUTE ON FUNCTION cancel_step_sends TO sequence_api;
