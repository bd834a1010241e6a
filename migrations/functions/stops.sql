-- Stops the mails of contacts that answered, asked for no more mail, are away or have left, and undoes it.
-- Locks are taken in one order: all live sends of the contacts by their key (the answered one among them),
-- the contacts by id, their enrolments by key. mark_transmitting takes the contact's lock after its send's,
-- so a mail either passed the gate before the stop or sees it.

-- Locks the contacts' live sends and the answered one, then the contacts, then the enrolments of
-- p_contact_id. Each contact is locked once a transaction: a gate may meanwhile hold a new send of it and
-- wait for the contact, so waiting for its sends a second time would be a deadlock.
CREATE OR REPLACE FUNCTION lock_for_stop(
    p_contact_ids bigint[], p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    locked bigint[] := coalesce(
        nullif(current_setting('sequences.locked_contacts', true), ''), '{}')::bigint[];
    ids bigint[] := ARRAY(SELECT DISTINCT x FROM unnest(p_contact_ids) x WHERE x <> ALL (locked));
BEGIN
    IF ids = '{}' THEN RETURN; END IF;
    PERFORM FROM sends s WHERE (s.sequence_id, s.contact_id) IN (
            SELECT e.sequence_id, e.contact_id FROM sequences_contacts e WHERE e.contact_id = ANY (ids))
        AND (s.status IN ('planned', 'dispatched', 'claimed', 'transmitting')
            OR (s.sequence_id = p_sequence_id AND s.contact_id = p_contact_id
                AND s.step_id = p_step_id AND s.round = p_round))
    ORDER BY s.sequence_id, s.contact_id, s.step_id, s.round FOR UPDATE OF s;
    PERFORM FROM contacts c WHERE c.id = ANY (ids) ORDER BY c.id FOR NO KEY UPDATE;
    PERFORM FROM sequences_contacts e WHERE e.contact_id = p_contact_id
    ORDER BY e.sequence_id, e.contact_id FOR NO KEY UPDATE;
    IF cardinality(ids) <= 1000 THEN
        PERFORM set_config('sequences.locked_contacts', (locked || ids)::text, true);
    END IF;
END $$;

-- Cancels the live sends of contacts that are not being transmitted: those of p_sequence_ids, or of all
-- sequences if it is null, up to the date p_until. A send that another transaction holds is left to the gate,
-- which waits for the contact's lock: waiting for the send here would be a deadlock.
CREATE OR REPLACE FUNCTION cancel_live_sends(
    p_contact_ids bigint[], p_sequence_ids bigint[], p_until date, p_reason text)
RETURNS void LANGUAGE sql AS $$
    UPDATE sends s SET status = 'cancelled', reason = p_reason, claim = NULL, lease_until = NULL
    FROM (
        SELECT x.sequence_id, x.contact_id, x.step_id, x.round FROM sequences_contacts e
        JOIN sends x ON x.sequence_id = e.sequence_id AND x.contact_id = e.contact_id
        WHERE e.contact_id = ANY (p_contact_ids)
            AND (p_sequence_ids IS NULL OR e.sequence_id = ANY (p_sequence_ids))
            AND x.status IN ('planned', 'dispatched', 'claimed')
            AND (p_until IS NULL OR x.send_day <= p_until)
        FOR UPDATE OF x SKIP LOCKED) k
    WHERE s.sequence_id = k.sequence_id AND s.contact_id = k.contact_id AND s.step_id = k.step_id
        AND s.round = k.round AND s.status IN ('planned', 'dispatched', 'claimed')
$$;

-- Ends the contact's enrolments and cancels their sends that are not being transmitted yet. The answered
-- sequence (p_sequence_id) ends also if it had completed; others end only if p_all and a reply to another
-- sequence may stop them.
CREATE OR REPLACE FUNCTION end_after_mail(
    p_sequence_id bigint, p_contact_id bigint, p_all boolean, p_status text, p_reason text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ended bigint[];
BEGIN
    WITH done AS (
        UPDATE sequences_contacts e SET status = p_status, status_reason = p_reason, next_send = NULL
        FROM sequences q WHERE q.id = e.sequence_id AND e.contact_id = p_contact_id
            AND ((e.sequence_id = p_sequence_id AND e.status IN ('active', 'paused', 'completed'))
                OR (p_all AND q.reply_stops <> 'sequence' AND e.status IN ('active', 'paused')))
        RETURNING e.sequence_id)
    SELECT array_agg(sequence_id) INTO ended FROM done;
    PERFORM cancel_live_sends(ARRAY[p_contact_id], coalesce(ended, '{}'), NULL, 'enrolment_' || p_status);
    DELETE FROM plan_deferrals d WHERE d.sequence_id = ANY (ended) AND d.contact_id = p_contact_id;
END $$;

-- The contacts of a company: those with an address of this domain.
CREATE OR REPLACE FUNCTION contacts_of_company(p_domain text, p_most integer) RETURNS SETOF bigint
LANGUAGE sql STABLE AS $$
    SELECT id FROM contacts WHERE mail_domain(mail_address) = p_domain AND deleted_at IS NULL
    ORDER BY id LIMIT p_most
$$;

-- Why a mail domain is no company that a reply can stop; null: it is one.
CREATE OR REPLACE FUNCTION no_company(p_domain text, p_most integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p_domain = '' THEN 'no_domain'
        WHEN EXISTS (SELECT FROM free_mail_domains f WHERE f.mail_domain = p_domain) THEN 'free_mail'
        WHEN EXISTS (SELECT FROM mailboxes m WHERE mail_domain(m.address) = p_domain
            AND m.deleted_at IS NULL) THEN 'own_domain'
        WHEN (SELECT count(*) FROM contacts_of_company(p_domain, p_most + 1)) > p_most
            THEN 'too_many_contacts'
    END
$$;

-- Whom a reply to a sequence stops: the reach (sequence, contact or company), why a company is not stopped
-- whole, and the contacts to lock. p_named: the mail names its send; if not, it stops the contact at most.
CREATE OR REPLACE FUNCTION reach_of_reply(
    p_sequence_id bigint, p_contact_id bigint, p_named boolean, p_company_most integer,
    OUT reach text, OUT fallback text, OUT contact_ids bigint[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
    domain text;
BEGIN
    SELECT reply_stops INTO reach FROM sequences WHERE id = p_sequence_id;
    reach := coalesce(reach, 'contact');
    contact_ids := ARRAY[p_contact_id];
    IF reach <> 'company' THEN RETURN; END IF;
    SELECT mail_domain(mail_address) INTO domain FROM contacts WHERE id = p_contact_id;
    fallback := CASE WHEN NOT p_named THEN 'not_named' ELSE no_company(domain, p_company_most) END;
    IF fallback IS NOT NULL THEN
        reach := 'contact';
    ELSE
        contact_ids := contact_ids || ARRAY(SELECT contacts_of_company(domain, p_company_most));
    END IF;
END $$;

-- Stops whom a reply to a send stops, after lock_for_stop. The caller records the reply.
CREATE OR REPLACE FUNCTION stop_for_reply(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_reach text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE contacts SET replied_at = clock_timestamp(),
        reply_stopped_at = CASE WHEN p_reach = 'sequence' THEN reply_stopped_at ELSE clock_timestamp() END
    WHERE id = p_contact_id;
    PERFORM end_after_mail(p_sequence_id, p_contact_id, p_reach <> 'sequence', 'replied', 'reply');
    IF p_reach = 'company' THEN
        INSERT INTO company_stops (mail_domain, sequence_id, contact_id, step_id, round)
        SELECT mail_domain(c.mail_address), p_sequence_id, p_contact_id, p_step_id, p_round
        FROM contacts c WHERE c.id = p_contact_id ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- Locks a contact by its public id, and with a sequence all contacts that a reply to it stops. The API calls
-- it before it locks a row for another reason.
CREATE OR REPLACE FUNCTION lock_contact_for_stop(p_contact uuid, p_sequence uuid, p_company_most integer)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    contact bigint := (SELECT id FROM contacts WHERE external_id = p_contact);
    sequence bigint := (SELECT id FROM sequences WHERE external_id = p_sequence);
    ids bigint[] := ARRAY[contact];
BEGIN
    IF sequence IS NOT NULL THEN
        ids := (reach_of_reply(sequence, contact, true, p_company_most)).contact_ids;
    END IF;
    PERFORM lock_for_stop(ids, 0, contact, 0, 0);
END $$;

-- A reply that a person reports through the API counts as one that was read. The event has the latest send of
-- the round. Returns the reach.
CREATE OR REPLACE FUNCTION report_reply(p_sequence_id bigint, p_contact_id bigint, p_company_most integer)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    step bigint;
    e sequences_contacts;
    stopped record;
BEGIN
    SELECT * INTO e FROM sequences_contacts x
    WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id;
    SELECT s.step_id INTO step FROM sends s
    WHERE s.sequence_id = p_sequence_id AND s.contact_id = p_contact_id AND s.round = e.round
        AND s.status IN ('sent', 'unknown', 'transmitting') ORDER BY s.send_at DESC LIMIT 1;
    stopped := reach_of_reply(p_sequence_id, p_contact_id, true, p_company_most);
    PERFORM lock_for_stop(stopped.contact_ids, p_sequence_id, p_contact_id, step, e.round);
    PERFORM stop_for_reply(p_sequence_id, p_contact_id, coalesce(step, 0), e.round, stopped.reach);
    INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind, detail)
    VALUES (p_sequence_id, p_contact_id, step, e.round, clock_timestamp(), 'reply',
        jsonb_strip_nulls(jsonb_build_object(
            'source', 'api', 'reach', stopped.reach, 'fallback', stopped.fallback)));
    RETURN stopped.reach;
END $$;

-- Stops a contact until a person decides: somebody asked for no more mail who may not be the contact.
CREATE OR REPLACE FUNCTION stop_unverified(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_for_stop(ARRAY[p_contact_id], p_sequence_id, p_contact_id, p_step_id, p_round);
    UPDATE contacts SET stopped_at = coalesce(stopped_at, clock_timestamp()),
        stopped_reason = 'opt_out_unverified'
    WHERE id = p_contact_id;
    PERFORM cancel_live_sends(ARRAY[p_contact_id], NULL, NULL, 'opt_out_unverified');
END $$;

-- A person decides about an opt-out that is not verified: confirming suppresses the address as its owner's
-- request would, lifting lets mails go again. Returns false if no such opt-out is open.
CREATE OR REPLACE FUNCTION settle_opt_out(p_contact uuid, p_confirmed boolean, p_by text, pads bytea)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    c contacts;
BEGIN
    SELECT * INTO c FROM contacts x WHERE x.external_id = p_contact AND x.stopped_at IS NOT NULL;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM lock_for_stop(ARRAY[c.id], 0, c.id, 0, 0);
    UPDATE contacts SET stopped_at = NULL, stopped_reason = NULL
    WHERE id = c.id AND stopped_at IS NOT NULL;
    IF NOT FOUND THEN RETURN false; END IF;
    IF p_confirmed AND c.mail_address <> '' THEN
        PERFORM suppress_contact(c.id, 'unsubscribed', 'unsubscribed', pads);
    END IF;
    INSERT INTO send_events (sequence_id, contact_id, at, kind, detail)
    SELECT e.sequence_id, c.id, clock_timestamp(),
        CASE WHEN p_confirmed THEN 'opt_out_confirmed' ELSE 'opt_out_lifted' END,
        jsonb_strip_nulls(jsonb_build_object('by', p_by))
    FROM (SELECT min(sequence_id) AS sequence_id FROM sequences_contacts WHERE contact_id = c.id) e;
    RETURN true;
END $$;

-- Holds a contact: it gets no mail of a date up to p_until. p_reason `away` (an absence notice) never
-- replaces or shortens a hold; `manual` (a person) replaces any, and p_until null ends it. A new or changed
-- hold is an event, and so is its end by a person.
CREATE OR REPLACE FUNCTION hold_contact(p_contact_id bigint, p_from date, p_until date, p_reason text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before contacts;
BEGIN
    PERFORM lock_for_stop(ARRAY[p_contact_id], 0, p_contact_id, 0, 0);
    SELECT * INTO before FROM contacts WHERE id = p_contact_id;
    IF p_reason = 'manual' THEN
        UPDATE contacts SET hold_until = p_until, held_at = clock_timestamp(),
            hold_from = CASE WHEN p_until IS NULL THEN NULL WHEN hold_until >= p_from
                THEN least(hold_from, p_from) ELSE p_from END,
            hold_reason = CASE WHEN p_until IS NOT NULL THEN p_reason END
        WHERE id = p_contact_id;
    ELSE
        UPDATE contacts SET hold_until = p_until, hold_reason = p_reason, held_at = clock_timestamp(),
            hold_from = CASE WHEN hold_until >= p_from THEN least(hold_from, p_from) ELSE p_from END
        WHERE id = p_contact_id AND p_until >= p_from AND (hold_until IS NULL OR hold_until < p_until)
            AND NOT (coalesce(hold_reason, '') = 'manual' AND hold_until >= p_from);
    END IF;
    IF NOT FOUND THEN RETURN false; END IF;
    IF p_until IS NOT NULL THEN
        PERFORM cancel_live_sends(ARRAY[p_contact_id], NULL, p_until, 'away');
    END IF;
    INSERT INTO send_events (sequence_id, contact_id, at, kind, detail)
    SELECT min(e.sequence_id), p_contact_id, clock_timestamp(),
        CASE WHEN p_until IS NULL THEN 'hold_ended' ELSE 'held' END,
        CASE WHEN p_until IS NULL THEN '{}'
            ELSE jsonb_build_object('until', p_until, 'reason', p_reason) END
    FROM sequences_contacts e WHERE e.contact_id = p_contact_id
    HAVING (p_until, CASE WHEN p_until IS NOT NULL THEN p_reason END)
        IS DISTINCT FROM (before.hold_until, before.hold_reason);
    RETURN true;
END $$;

-- Undoes a stop by a reply: a new round at the kept step, from the same mailbox and in the same thread. It
-- also takes back what the reply did to the contact and its company. Returns resumed, absent, not_stopped,
-- suppressed or no_step_left.
CREATE OR REPLACE FUNCTION resume_enrolment(
    p_sequence_id bigint, p_contact_id bigint, p_today date, p_by text, pads bytea)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    e sequences_contacts;
    delay integer;
BEGIN
    PERFORM lock_for_stop(ARRAY[p_contact_id], 0, p_contact_id, 0, 0);
    SELECT * INTO e FROM sequences_contacts x
    WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id;
    IF NOT FOUND THEN RETURN 'absent'; END IF;
    IF (SELECT is_suppressed(c, clock_timestamp(), pads) FROM contacts c WHERE c.id = p_contact_id) THEN
        RETURN 'suppressed';
    END IF;
    IF NOT (e.status = 'replied' OR (e.status = 'removed' AND e.status_reason = 'left_company')) THEN
        RETURN 'not_stopped';
    END IF;
    SELECT n.delay_days INTO delay FROM next_live_step(p_sequence_id, e.current_step) n;
    IF NOT FOUND THEN RETURN 'no_step_left'; END IF;
    UPDATE contacts SET replied_at = NULL, reply_stopped_at = NULL, stopped_at = NULL, stopped_reason = NULL
    WHERE id = p_contact_id;
    DELETE FROM company_stops z WHERE z.contact_id = p_contact_id;
    UPDATE sequences_contacts x SET round = e.round + 1, status = 'active', status_reason = NULL,
        thread_round = coalesce(e.thread_round, e.round), enrolled_at = clock_timestamp(),
        next_send = greatest(p_today, coalesce(e.last_send, p_today) + delay)
    WHERE x.sequence_id = p_sequence_id AND x.contact_id = p_contact_id;
    INSERT INTO send_events (sequence_id, contact_id, round, at, kind, detail)
    VALUES (p_sequence_id, p_contact_id, e.round, clock_timestamp(), 'reply_undone',
        jsonb_strip_nulls(jsonb_build_object('by', p_by)));
    RETURN 'resumed';
END $$;

-- The earlier mails of a resumed enrolment, which this mail continues; no row for any other enrolment, whose
-- thread claim_send returns.
CREATE OR REPLACE FUNCTION resumed_thread(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer)
RETURNS TABLE (step_ids bigint[], rounds smallint[], subject text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT array_agg(b.step_id ORDER BY b.send_at) FILTER (WHERE b.mailbox_id = s.mailbox_id),
        array_agg(b.round ORDER BY b.send_at) FILTER (WHERE b.mailbox_id = s.mailbox_id),
        (array_agg(bs.mail_subject ORDER BY (b.mailbox_id = s.mailbox_id) DESC, b.send_at)
            FILTER (WHERE bs.mail_subject <> ''))[1]
    FROM sequences_contacts e
    JOIN sends s ON s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id AND s.step_id = p_step_id
        AND s.round = p_round
    JOIN (
        SELECT sequence_id, contact_id, step_id, round, mailbox_id, send_at, status FROM sends
        UNION ALL
        SELECT sequence_id, contact_id, step_id, round, mailbox_id, send_at, status FROM archived_sends) b
        ON b.sequence_id = e.sequence_id AND b.contact_id = e.contact_id
        AND b.round BETWEEN e.thread_round AND p_round AND b.status IN ('sent', 'unknown')
        AND (b.step_id, b.round) <> (p_step_id, p_round)
    JOIN steps bs ON bs.id = b.step_id
    WHERE e.sequence_id = p_sequence_id AND e.contact_id = p_contact_id AND e.thread_round IS NOT NULL
        AND e.round = p_round
    GROUP BY s.mailbox_id
$$;

REVOKE EXECUTE ON FUNCTION cancel_live_sends, lock_for_stop, lock_contact_for_stop, end_after_mail,
    contacts_of_company, no_company, reach_of_reply, stop_for_reply, report_reply, stop_unverified,
    settle_opt_out, hold_contact, resume_enrolment, resumed_thread
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION lock_contact_for_stop, report_reply, settle_opt_out, hold_contact,
    resume_enrolment TO sequence_api;
GRANT EXECUTE ON FUNCTION resumed_thread TO sequence_worker;
