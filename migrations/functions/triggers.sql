-- The functions of the triggers. The triggers belong to their tables and stand in the migrations, because
-- making one locks its table; the baseline therefore applies this file before it creates the tables.

-- The planner's marks are no change of the row.
CREATE OR REPLACE FUNCTION touch_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'sequences' THEN
        IF NEW.steps_changed_at IS DISTINCT FROM OLD.steps_changed_at THEN RETURN NEW; END IF;
    ELSIF TG_TABLE_NAME = 'mailboxes' THEN
        IF NEW.ramp_up_counted > coalesce(OLD.ramp_up_counted, '-infinity') THEN RETURN NEW; END IF;
    END IF;
    NEW.updated := now();
    RETURN NEW;
END $$;

-- A new address has no HMAC until it is computed, and no other spelling, unless the statement gives them.
CREATE OR REPLACE FUNCTION forget_address_hmac() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.address_hmac IS NOT DISTINCT FROM OLD.address_hmac THEN NEW.address_hmac := NULL; END IF;
    IF NEW.mail_address_written IS NOT DISTINCT FROM OLD.mail_address_written THEN
        NEW.mail_address_written := NULL;
    END IF;
    RETURN NEW;
END $$;

-- The stored response of a creating request shows the contact's address. When the address changes or is
-- erased, the response is deleted.
CREATE OR REPLACE FUNCTION forget_answers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE idempotency_keys SET answer = NULL WHERE created_id = NEW.external_id;
    RETURN NULL;
END $$;

-- An ended enrolment is never reopened; enrolling the contact again raises its round. The update is refused
-- because the sends that would prevent a second mail may already be in the archive.
CREATE OR REPLACE FUNCTION refuse_to_reopen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION
        'the enrolment of contact % in sequence % has ended (%): enrol it again, which raises its round',
        OLD.contact_id, OLD.sequence_id, OLD.status USING ERRCODE = 'check_violation';
END $$;

-- Marks the sequence of an added, moved, deleted or delayed step if it has enrolments. The next plan computes
-- their next_send anew.
CREATE OR REPLACE FUNCTION mark_steps_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sequences SET steps_changed_at = clock_timestamp() WHERE id = NEW.sequence_id
        AND EXISTS (SELECT FROM sequences_contacts e WHERE e.sequence_id = NEW.sequence_id);
    RETURN NULL;
END $$;

-- A ramp-up that starts anew has no days yet.
CREATE OR REPLACE FUNCTION restart_ramp_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.ramp_up_days := 0;
    NEW.ramp_up_counted := NULL;
    RETURN NEW;
END $$;

-- A mail got its outcome: an event of the feed, whichever statement gave it. The names of states are the
-- kinds of events.
CREATE OR REPLACE FUNCTION record_outcome() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind, detail)
    VALUES (NEW.sequence_id, NEW.contact_id, NEW.step_id, NEW.round, clock_timestamp(), NEW.status,
        CASE WHEN NEW.status = 'hard_failed' THEN jsonb_strip_nulls(jsonb_build_object(
            'code', NEW.smtp_code, 'enhanced_code', NEW.enhanced_code)) ELSE '{}' END);
    RETURN NULL;
END $$;

-- An enrolment received its last mail: an event of the feed.
CREATE OR REPLACE FUNCTION record_completion() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO send_events (sequence_id, contact_id, round, at, kind)
    VALUES (NEW.sequence_id, NEW.contact_id, NEW.round, clock_timestamp(), 'completed');
    RETURN NULL;
END $$;

REVOKE EXECUTE ON FUNCTION touch_updated, forget_address_hmac, forget_answers, refuse_to_reopen,
    mark_steps_changed, restart_ramp_up, record_outcome, record_completion
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
