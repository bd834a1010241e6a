-- A send's transitions (docs/states.md). Each is one call, so one transaction; each names the states that it
-- expects; only the database's clock decides. Locks are taken in the order send, contact, mailbox_days, enrolment.

CREATE FUNCTION touch_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated := now();
    RETURN NEW;
END $$;
CREATE TRIGGER sequences_updated BEFORE UPDATE ON sequences FOR EACH ROW EXECUTE FUNCTION touch_updated();
CREATE TRIGGER steps_updated BEFORE UPDATE ON steps FOR EACH ROW EXECUTE FUNCTION touch_updated();
CREATE TRIGGER mailboxes_updated BEFORE UPDATE ON mailboxes FOR EACH ROW EXECUTE FUNCTION touch_updated();
CREATE TRIGGER contacts_updated BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION touch_updated();

-- HMAC-SHA256 of the address without regard to case. `pads` is the key as inner and outer block, 64 bytes each.
CREATE FUNCTION address_hmac(address text, pads bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sha256(substr(pads, 65, 64) || sha256(substr(pads, 1, 64) || convert_to(lower(btrim(address)), 'UTF8')));

-- A view with a parameter (the planner inlines it): every send with why it must not go out at its minute, or
-- now if that is later; null when nothing is in its way. Claim, the gate before DATA and the plan all read it.
CREATE FUNCTION send_gates(pads bytea)
RETURNS TABLE (sequence_id bigint, contact_id bigint, step_id bigint, round smallint, mailbox_id bigint,
    status text, send_at timestamptz, closed text)
LANGUAGE sql STABLE AS $$
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

CREATE FUNCTION closed_gate(s sends, pads bytea) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT closed FROM send_gates(pads) g
    WHERE g.sequence_id = s.sequence_id AND g.contact_id = s.contact_id AND g.step_id = s.step_id
        AND g.round = s.round
$$;

-- The first second from `earliest` on at which the mailbox's grid has a cell that none of its sends is near to;
-- null if there is none by `latest`. The grid is counted from the epoch, with one offset a mailbox.
CREATE FUNCTION next_free_place(p_mailbox_id bigint, gap integer, earliest timestamptz, latest timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
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

CREATE FUNCTION record_event(s sends, p_kind text, p_detail jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind, detail)
    VALUES (s.sequence_id, s.contact_id, s.step_id, s.round, clock_timestamp(), p_kind, p_detail)
$$;

-- A mailbox that is parked already keeps the later end and the first reason.
CREATE FUNCTION park_mailbox(p_mailbox_id bigint, p_for interval, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE mailboxes SET parked_until = clock_timestamp() + p_for, parked_reason = left(p_reason, 200)
    WHERE id = p_mailbox_id AND (parked_until IS NULL OR parked_until <= clock_timestamp());
    IF NOT FOUND THEN RETURN false; END IF;
    INSERT INTO send_events (at, kind, detail) VALUES (clock_timestamp(), 'mailbox_parked',
        jsonb_build_object('mailbox_id', p_mailbox_id, 'reason', p_reason, 'until', clock_timestamp() + p_for));
    RETURN true;
END $$;

-- Three unknown outcomes in a row: something between us and the server is broken.
CREATE FUNCTION park_after_unknowns(p_mailbox_id bigint, p_for interval) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) = 3 AND bool_and(status = 'unknown') FROM (
            SELECT status FROM sends
            WHERE mailbox_id = p_mailbox_id AND status IN ('sent', 'hard_failed', 'unknown')
                AND send_at > clock_timestamp() - interval '3 days'
            ORDER BY finished_at DESC NULLS LAST LIMIT 3) last) THEN
        PERFORM park_mailbox(p_mailbox_id, p_for, 'three unknown outcomes in a row');
    END IF;
END $$;

-- planned, dispatched (or a claim whose lease ran out) -> claimed; returns all that the mail needs.
-- verdict: claimed | early (retry_at) | held by another (retry_at) | stale (older attempt, or ended) |
-- cancelled (reason) | expired | absent.
CREATE FUNCTION claim_send(
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

CREATE FUNCTION renew_claim(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid, p_lease interval)
RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH renewed AS (
        UPDATE sends SET lease_until = clock_timestamp() + p_lease
        WHERE sequence_id = p_sequence_id AND contact_id = p_contact_id AND step_id = p_step_id
            AND round = p_round AND claim = p_claim AND status = 'claimed' AND lease_until > clock_timestamp()
        RETURNING 1)
    SELECT EXISTS (SELECT FROM renewed)
$$;

-- A worker that stops gives its claim to whoever comes next.
CREATE FUNCTION release_claim(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid)
RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH released AS (
        UPDATE sends SET lease_until = clock_timestamp()
        WHERE sequence_id = p_sequence_id AND contact_id = p_contact_id AND step_id = p_step_id
            AND round = p_round AND claim = p_claim AND status = 'claimed'
        RETURNING 1)
    SELECT EXISTS (SELECT FROM released)
$$;

-- claimed -> transmitting, after RCPT and directly before DATA: everything that may forbid the mail is read
-- again, with the contact locked against whoever unsubscribes it, and the mail is counted.
-- verdict: transmitting | wait (retry_at: the gap passes in a moment; nothing changed) | planned (the gap: a
-- later place, retry_at) | cancelled (reason) | expired | fenced (the claim is not, or no longer, the caller's).
CREATE FUNCTION mark_transmitting(
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

-- Ends an enrolment's part in a send that failed for good; other statuses than active and paused stay.
CREATE FUNCTION end_enrolment(s sends, p_status text, p_reason text) RETURNS void LANGUAGE sql AS $$
    UPDATE sequences_contacts e SET status = p_status, status_reason = p_reason,
        next_send = CASE WHEN p_status = 'paused' THEN e.next_send END
    WHERE e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
        AND e.status IN ('active', 'paused')
$$;

-- Five message faults of one step in a row: its template is broken for everybody.
CREATE FUNCTION switch_off_after_message_faults(s sends) RETURNS void LANGUAGE plpgsql AS $$
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

-- The outcome of an attempt, by the claim's holder. Returns the state that the row is in now; no row: fenced.
--   sent, unknown           from transmitting; sent also from unknown (a late answer), until it is advanced
--   hard_failed             the recipient's fault: bounced and suppressed
--   soft_failed             back to planned at now + p_retry_after, or expired; the sixth of the recipient or
--                           its domain over at least three days is hard, but does not suppress
--   cancelled, fault message   pauses the enrolment; fault mailbox parks the mailbox for p_park_for
CREATE FUNCTION finish_send(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_claim uuid,
    p_outcome text, p_fault text, p_reason text, p_smtp_code integer, p_enhanced_code text, p_smtp_reply text,
    p_provider_message_id text, p_retry_after interval, p_park_for interval, pads bytea)
RETURNS TABLE (status text, reason text, send_at timestamptz, attempt integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
    IF ended = 'hard_failed' THEN
        PERFORM end_enrolment(s, 'bounced', coalesce(p_enhanced_code, p_smtp_code::text, why));
        IF suppresses THEN
            INSERT INTO suppressions (address_hmac, reason, at)
            SELECT address_hmac(c.mail_address, pads), 'hard_bounce', at FROM contacts c WHERE c.id = p_contact_id
            ON CONFLICT DO NOTHING;
        END IF;
    ELSIF ended = 'unknown' THEN
        PERFORM park_after_unknowns(s.mailbox_id, p_park_for);
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

-- An operator settles an unknown send, once, and not after it was advanced: as 'sent', or as 'retry'.
CREATE FUNCTION resolve_send(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_as text)
RETURNS boolean LANGUAGE plpgsql AS $$
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

-- Deleting a step cancels what is not yet being transmitted of it.
CREATE FUNCTION cancel_step_sends(p_step_id bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH cancelled AS (
        UPDATE sends SET status = 'cancelled', reason = 'step_deleted', claim = NULL, lease_until = NULL
        WHERE step_id = p_step_id AND status IN ('planned', 'dispatched', 'claimed')
            AND sequence_id = (SELECT sequence_id FROM steps WHERE id = p_step_id)
        RETURNING 1)
    SELECT count(*) FROM cancelled
$$;
