DROP FUNCTION read_inboxes, keep_inbox_position, record_feedback, confirm_limit, keep_secret;
DROP TABLE inbox_positions;
ALTER TABLE mailboxes DROP imap_host, DROP imap_port, DROP imap_security;

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

-- The outcome of an attempt, by the claim's holder. Returns the state that the row is in now; no row: fenced.
--   sent, unknown           from transmitting; sent also from unknown (a late answer), until it is advanced
--   hard_failed             the recipient's fault: bounced and suppressed
--   soft_failed             back to planned at now + p_retry_after, or expired; the sixth of the recipient or
--                           its domain over at least three days is hard, but does not suppress
--   cancelled, fault message   pauses the enrolment; fault mailbox parks the mailbox for p_park_for
CREATE OR REPLACE FUNCTION finish_send(
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

DROP FUNCTION record_setback;
DROP TABLE setbacks, send_counts;
REVOKE EXECUTE ON FUNCTION park_after_unknowns FROM PUBLIC;
GRANT EXECUTE ON FUNCTION park_after_unknowns TO sequence_pipeline;
