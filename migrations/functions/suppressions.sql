-- Stops mail to a person: unsubscribing, suppressing and erasing.

-- The contacts that have an address, deleted ones too: a person who unsubscribes or is erased is so in
-- every row. Two selects, so that each uses its own partial index.
CREATE OR REPLACE FUNCTION contacts_of_address(p_address text) RETURNS SETOF bigint LANGUAGE sql STABLE AS $$
    SELECT id FROM contacts
    WHERE lower(mail_address) = lower(p_address) AND deleted_at IS NULL AND p_address <> ''
    UNION ALL
    SELECT id FROM contacts
    WHERE lower(mail_address) = lower(p_address) AND deleted_at IS NOT NULL AND p_address <> ''
$$;

-- Ends the active and paused enrolments of these contacts and cancels their sends that are planned,
-- dispatched or claimed. A send that is being transmitted finishes. mark_transmitting locks the contact as
-- well: whichever of the two comes second sees what the first did.
CREATE OR REPLACE FUNCTION stop_contacts(p_contact_ids bigint[], p_status text, p_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM lock_for_stop(p_contact_ids, 0, 0, 0, 0);
    PERFORM cancel_live_sends(p_contact_ids, NULL, NULL, p_reason);
    DELETE FROM plan_deferrals d USING sequences_contacts e
    WHERE e.contact_id = ANY (p_contact_ids)
        AND d.sequence_id = e.sequence_id AND d.contact_id = e.contact_id;
    UPDATE sequences_contacts SET status = p_status, status_reason = p_reason, next_send = NULL
    WHERE contact_id = ANY (p_contact_ids) AND status IN ('active', 'paused');
END $$;

-- Suppresses an address and stops its contacts. The first reason stays, except that 'unsubscribed' replaces
-- the product's own reasons (hard_bounce and its like).
CREATE OR REPLACE FUNCTION suppress_address(p_address text, p_status text, p_reason text, pads bytea)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM stop_contacts(ARRAY(SELECT contacts_of_address(p_address)), p_status,
        CASE p_status WHEN 'unsubscribed' THEN 'unsubscribed' ELSE 'suppressed' END);
    INSERT INTO suppressions AS x (address_hmac, reason) VALUES (address_hmac(p_address, pads), p_reason)
    ON CONFLICT (address_hmac) DO UPDATE SET reason = excluded.reason, at = excluded.at
        WHERE excluded.reason = 'unsubscribed' AND x.reason NOT IN ('unsubscribed', 'complaint', 'erased');
END $$;

-- Unsubscribes the recipient of a send. Repeating it changes nothing. Returns false if the contact does not
-- exist.
CREATE OR REPLACE FUNCTION unsubscribe(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, pads bytea)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    address text;
BEGIN
    SELECT mail_address INTO address FROM contacts WHERE id = p_contact_id;
    IF address IS NULL THEN RETURN false; END IF;
    IF address <> '' THEN -- the address of an erased contact is suppressed already
        PERFORM suppress_address(address, 'unsubscribed', 'unsubscribed', pads);
    END IF;
    INSERT INTO send_events (sequence_id, contact_id, step_id, round, kind)
    SELECT p_sequence_id, p_contact_id, p_step_id, p_round, 'unsubscribed' WHERE NOT EXISTS (
        SELECT FROM send_events v WHERE v.sequence_id = p_sequence_id AND v.contact_id = p_contact_id
            AND v.step_id = p_step_id AND v.round = p_round AND v.kind = 'unsubscribed');
    RETURN true;
END $$;

-- Erases the personal data of a contact in every row that has its address. The keys of its sends and the
-- suppression stay. Returns false if the contact does not exist.
CREATE OR REPLACE FUNCTION erase_contact(p_contact uuid, pads bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

REVOKE EXECUTE ON FUNCTION contacts_of_address, stop_contacts, suppress_address, unsubscribe, erase_contact
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION stop_contacts, suppress_address, unsubscribe, erase_contact TO sequence_api;
