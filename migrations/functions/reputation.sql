-- Protects the reputation of mailboxes and sequences: counts mails and their bounces, complaints, unknown
-- outcomes and refusals by policy, and parks or switches off what has too many.

-- Counts a mail that a server answered. send_counts is the denominator of the rates.
CREATE OR REPLACE FUNCTION count_mail(s sends) RETURNS void LANGUAGE sql AS $$
    INSERT INTO send_counts AS c (mailbox_id, sequence_id, mails) VALUES (s.mailbox_id, s.sequence_id, 1)
    ON CONFLICT (mailbox_id, sequence_id) DO UPDATE SET mails = c.mails + 1
$$;

-- Records a bounce, a complaint or an unknown outcome of a send, once. In the same transaction it parks the
-- mailbox for p_park_for and switches the sequence off if one of them has 5 bounces within its last 100
-- mails (5 percent) or 2 complaints within its last 666 (0.3 percent). Three unknown outcomes with no
-- answer in between park the mailbox only. Returns false if the event was recorded before. The lock makes
-- the second of two simultaneous events see the first.
CREATE OR REPLACE FUNCTION record_reputation_event(s sends, p_kind text, p_park_for interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    mailbox_total bigint;
    sequence_total bigint;
    allowed integer := CASE p_kind WHEN 'bounce' THEN 5 WHEN 'complaint' THEN 2 ELSE 3 END;
    within integer := CASE p_kind WHEN 'bounce' THEN 100 WHEN 'complaint' THEN 666 ELSE 1 END;
    why text := CASE p_kind WHEN 'unknown' THEN 'three unknown outcomes in a row' ELSE p_kind || ' rate' END;
BEGIN
    PERFORM pg_advisory_xact_lock(7236003);
    -- One person who complains of several mails is one complaint.
    IF p_kind = 'complaint' AND EXISTS (SELECT FROM reputation_events b WHERE b.kind = p_kind
            AND b.mailbox_id = s.mailbox_id AND b.contact_id = s.contact_id) THEN
        RETURN false;
    END IF;
    SELECT coalesce(sum(mails), 0) INTO mailbox_total FROM send_counts WHERE mailbox_id = s.mailbox_id;
    SELECT coalesce(sum(mails), 0) INTO sequence_total FROM send_counts WHERE sequence_id = s.sequence_id;
    INSERT INTO reputation_events (kind, sequence_id, contact_id, step_id, round, mailbox_id, mailbox_mails,
        sequence_mails)
    VALUES (p_kind, s.sequence_id, s.contact_id, s.step_id, s.round, s.mailbox_id, mailbox_total,
        sequence_total)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN false; END IF;
    IF mailbox_total - (SELECT b.mailbox_mails FROM reputation_events b
            WHERE b.mailbox_id = s.mailbox_id AND b.kind = p_kind
            ORDER BY b.id DESC OFFSET allowed - 1 LIMIT 1) < within THEN
        PERFORM park_mailbox(s.mailbox_id, p_park_for, why);
    END IF;
    IF p_kind <> 'unknown' AND sequence_total - (SELECT b.sequence_mails FROM reputation_events b
            WHERE b.sequence_id = s.sequence_id AND b.kind = p_kind
            ORDER BY b.id DESC OFFSET allowed - 1 LIMIT 1) < within THEN
        UPDATE sequences SET is_active = false WHERE id = s.sequence_id AND is_active;
        IF FOUND THEN
            PERFORM record_event(s, 'sequence_switched_off', jsonb_build_object('reason', why));
        END IF;
    END IF;
    RETURN true;
END $$;

-- Switches a sequence off after five message faults of one step in a row: the step's template fails for
-- every contact. A contact's placeholder (missing_value) is no fault of the step.
CREATE OR REPLACE FUNCTION switch_off_after_message_faults(s sends) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    fifth timestamptz;
BEGIN
    SELECT min(at) INTO fifth FROM (
        SELECT at FROM send_events WHERE step_id = s.step_id AND kind = 'message_fault'
            AND NOT starts_with(coalesce(detail->>'reason', ''), 'missing_value')
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

-- Records what came back after a server accepted a mail. Reporting it again changes nothing. p_detail says
-- what sequence_store/mail/faults.py judged of a bounce, in the fields fault, suppresses, parks and counted.
--   bounce       permanent: ends the enrolment as bounced and records a reputation event; suppresses the
--                address unless `suppresses` is false
--   complaint    the same, but it always suppresses and the enrolment ends as unsubscribed
--   soft_bounce  counts a refusal (`counted`), a refusal by policy (`parks` is counts), or parks the mailbox
--                (`parks` is now)
--   reply        ends the sequence for this contact; whom else it stops, stop_for_reply (stops.sql) does
--   auto_reply, opt_out   only an event is recorded
--   delivery     changes nothing, unless the send is unknown
-- Any feedback to an unknown send shows that it went out: it becomes sent. p_park_for is how long a mailbox
-- is parked if it has too many. Returns recorded, known or absent (no such send has gone out).
CREATE OR REPLACE FUNCTION record_feedback(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_kind text, p_detail jsonb,
    p_park_for interval, pads bytea)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s sends;
BEGIN
    IF p_kind NOT IN ('bounce', 'soft_bounce', 'complaint', 'reply', 'auto_reply', 'opt_out',
            'delivery') THEN
        RAISE EXCEPTION 'unknown kind of feedback: %', p_kind;
    END IF;
    SELECT * INTO s FROM sends x WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id
        AND x.step_id = p_step_id AND x.round = p_round
        AND x.status IN ('sent', 'unknown', 'transmitting', 'hard_failed') FOR UPDATE;
    IF NOT FOUND THEN RETURN 'absent'; END IF;
    IF s.status = 'unknown' AND s.advanced_at IS NULL THEN
        UPDATE sends x SET status = 'sent', reason = 'feedback'
        WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id AND x.step_id = p_step_id
            AND x.round = p_round AND x.status = 'unknown';
        PERFORM count_mail(s);
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
        IF p_kind = 'complaint' OR coalesce((p_detail->>'suppresses')::boolean, true) THEN
            PERFORM suppress_recipient(
                s, CASE p_kind WHEN 'bounce' THEN 'hard_bounce' ELSE p_kind END, NULL, pads);
        END IF;
        PERFORM record_reputation_event(s, p_kind, p_park_for);
    ELSIF p_kind = 'soft_bounce' THEN
        IF p_detail->>'counted' IS NOT NULL AND count_refusal(s, p_detail->>'counted', pads) THEN
            PERFORM end_enrolment(s, 'bounced', 'soft_failures');
            PERFORM record_reputation_event(s, 'bounce', p_park_for);
        END IF;
        PERFORM blame_mailbox(s, p_detail->>'parks', p_detail->>'reason', p_park_for, pads);
    ELSIF p_kind = 'reply' THEN
        PERFORM end_after_mail(s.sequence_id, s.contact_id, false, 'replied', 'reply');
    END IF;
    RETURN 'recorded';
END $$;

-- Applies a fault of the mailbox: `now` parks it with p_reason; `counts` records a refusal by policy, once a
-- send, and parks the mailbox if 5 of its last 100 mails were refused so, by servers of at least 3 recipient
-- domains. The lock makes the second of two simultaneous refusals see the first.
CREATE OR REPLACE FUNCTION blame_mailbox(
    s sends, p_parks text, p_reason text, p_park_for interval, pads bytea)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    total bigint;
BEGIN
    IF p_parks = 'now' THEN
        PERFORM park_mailbox(s.mailbox_id, p_park_for, p_reason);
    ELSIF p_parks = 'counts' THEN
        PERFORM pg_advisory_xact_lock(7236003);
        SELECT coalesce(sum(mails), 0) INTO total FROM send_counts WHERE mailbox_id = s.mailbox_id;
        INSERT INTO policy_refusals (sequence_id, contact_id, step_id, round, mailbox_id, reason, domain_hmac,
            mailbox_mails)
        SELECT s.sequence_id, s.contact_id, s.step_id, s.round, s.mailbox_id,
            coalesce(p_reason, 'sender_policy'), domain_hmac(c.mail_address, pads), total
        FROM contacts c WHERE c.id = s.contact_id
        ON CONFLICT DO NOTHING;
        IF FOUND AND (SELECT count(*) >= 5 AND count(DISTINCT r.domain_hmac) >= 3 FROM policy_refusals r
                WHERE r.mailbox_id = s.mailbox_id AND r.mailbox_mails > total - 100) THEN
            PERFORM park_mailbox(s.mailbox_id, p_park_for, 'refused by policy');
        END IF;
    END IF;
END $$;

REVOKE EXECUTE ON FUNCTION count_mail, record_reputation_event, blame_mailbox,
    switch_off_after_message_faults, record_feedback
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION record_reputation_event, record_feedback TO sequence_pipeline;
GRANT EXECUTE ON FUNCTION record_feedback TO sequence_worker;
