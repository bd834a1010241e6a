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

-- The HMAC under which a contact is suppressed: the stored one, which is that of the canonical address, else
-- that of the address as it stands.
CREATE OR REPLACE FUNCTION hmac_of_contact(c contacts, pads bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(c.address_hmac, address_hmac(c.mail_address, pads));

-- Stores the HMAC of the canonical form of a contact's address, which SQL cannot compute for an address
-- that is not ASCII. The gates then find a suppression of any spelling. Does nothing if the address was
-- changed meanwhile.
CREATE OR REPLACE FUNCTION store_canonical_hmac(
    p_contact_id bigint, p_address text, p_canonical text, pads bytea)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE contacts SET address_hmac = address_hmac(p_canonical, pads)
    WHERE id = p_contact_id AND mail_address = p_address
        AND address_hmac IS DISTINCT FROM address_hmac(p_canonical, pads)
$$;

-- The same, and also the contacts whose stored HMAC is that of the address: SQL may have entered another
-- spelling.
CREATE OR REPLACE FUNCTION contacts_suppressed_by(p_address text, pads bytea) RETURNS SETOF bigint
LANGUAGE sql STABLE AS $$
    SELECT contacts_of_address(p_address)
    UNION
    SELECT id FROM contacts WHERE address_hmac = address_hmac(p_address, pads) AND p_address <> ''
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

-- Suppresses an address in canonical form for ever and stops its contacts.
CREATE OR REPLACE FUNCTION suppress_address(p_address text, p_status text, p_reason text, pads bytea)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM stop_contacts(ARRAY(SELECT contacts_suppressed_by(p_address, pads)), p_status,
        CASE p_status WHEN 'unsubscribed' THEN 'unsubscribed' ELSE 'suppressed' END);
    PERFORM enter_suppression(address_hmac(p_address, pads), p_reason, clock_timestamp(), NULL);
END $$;

-- Suppresses the address of a contact for ever, and stops every contact that has it.
CREATE OR REPLACE FUNCTION suppress_contact(p_contact_id bigint, p_status text, p_reason text, pads bytea)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    c contacts;
BEGIN
    SELECT * INTO c FROM contacts WHERE id = p_contact_id;
    PERFORM stop_contacts(ARRAY(
        SELECT contacts_of_address(c.mail_address)
        UNION SELECT id FROM contacts o WHERE o.address_hmac = hmac_of_contact(c, pads)), p_status,
        CASE p_status WHEN 'unsubscribed' THEN 'unsubscribed' ELSE 'suppressed' END);
    PERFORM enter_suppression(hmac_of_contact(c, pads), p_reason, clock_timestamp(), NULL);
END $$;

-- Enters a suppression, until p_until (null: for ever); returns whether it changed anything. The first reason
-- stays, except that a wish of the contact ('unsubscribed', 'opted_out') replaces the product's own reasons
-- (hard_bounce and its like), and that any suppression replaces one that ends earlier. A wish has no end.
CREATE OR REPLACE FUNCTION enter_suppression(
    p_address_hmac bytea, p_reason text, p_at timestamptz, p_until timestamptz)
RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH entered AS (
        INSERT INTO suppressions AS x (address_hmac, reason, at, until)
        VALUES (p_address_hmac, p_reason, p_at, p_until)
        ON CONFLICT (address_hmac) DO UPDATE
            SET reason = excluded.reason, at = excluded.at, until = excluded.until
            WHERE x.until < coalesce(excluded.until, 'infinity')
                OR (excluded.reason IN ('unsubscribed', 'opted_out') AND excluded.until IS NULL
                    AND x.reason NOT IN ('unsubscribed', 'opted_out', 'complaint', 'erased'))
        RETURNING 1)
    SELECT EXISTS (SELECT FROM entered)
$$;

-- Suppresses the address of a send. An erased contact has no address; that was suppressed when it was
-- erased.
CREATE OR REPLACE FUNCTION suppress_recipient(s sends, p_reason text, p_until timestamptz, pads bytea)
RETURNS void LANGUAGE sql AS $$
    SELECT enter_suppression(hmac_of_contact(c, pads), p_reason, clock_timestamp(), p_until)
    FROM contacts c WHERE c.id = s.contact_id AND c.mail_address LIKE '%@%'
$$;

-- Forgets the refusals of an address: one whose suppression was lifted begins with none.
CREATE OR REPLACE FUNCTION forget_refusals(p_address_hmac bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM refusals WHERE address_hmac = p_address_hmac
$$;

-- Lifts suppressions by their ids, and records who did it and why. Returns how many there were.
CREATE OR REPLACE FUNCTION lift_suppressions(p_ids uuid[], p_by text, p_why text) RETURNS bigint
LANGUAGE sql AS $$
    WITH lifted AS (
        DELETE FROM suppressions x WHERE x.external_id = ANY (p_ids)
        RETURNING x.address_hmac, x.reason),
    recorded AS (
        INSERT INTO send_events (at, kind, detail)
        SELECT clock_timestamp(), 'suppression_lifted', jsonb_build_object('by', p_by, 'reason', p_why,
            'was', l.reason, 'address_hmac', encode(l.address_hmac, 'hex'))
        FROM lifted l)
    SELECT count(*) FROM lifted l CROSS JOIN LATERAL forget_refusals(l.address_hmac)
$$;

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
        PERFORM suppress_contact(p_contact_id, 'unsubscribed', 'unsubscribed', pads);
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
    c contacts;
    ids bigint[];
BEGIN
    SELECT * INTO c FROM contacts WHERE external_id = p_contact;
    IF c.id IS NULL THEN RETURN false; END IF;
    IF c.mail_address = '' THEN RETURN true; END IF;
    ids := ARRAY(
        SELECT contacts_of_address(c.mail_address)
        UNION SELECT id FROM contacts o WHERE o.address_hmac = hmac_of_contact(c, pads));
    PERFORM stop_contacts(ids, 'removed', 'contact_erased');
    PERFORM enter_suppression(hmac_of_contact(c, pads), 'erased', clock_timestamp(), NULL);
    UPDATE sends s SET smtp_reply = NULL FROM sequences_contacts e
    WHERE e.contact_id = ANY (ids) AND s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id
        AND s.smtp_reply IS NOT NULL;
    UPDATE send_events v SET detail = '{}' FROM sequences_contacts e
    WHERE e.contact_id = ANY (ids) AND v.sequence_id = e.sequence_id AND v.contact_id = e.contact_id
        AND v.detail <> '{}';
    UPDATE contacts SET name = '', mail_address = '', mail_address_written = NULL, attributes = '{}',
        is_active = false, deleted_at = coalesce(deleted_at, now())
    WHERE id = ANY (ids);
    INSERT INTO send_events (contact_id, kind) SELECT unnest(ids), 'contact_erased';
    RETURN true;
END $$;

REVOKE EXECUTE ON FUNCTION contacts_of_address, contacts_suppressed_by, hmac_of_contact, store_canonical_hmac,
    enter_suppression, stop_contacts, suppress_address, suppress_contact, suppress_recipient, forget_refusals,
    lift_suppressions, unsubscribe, erase_contact
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION hmac_of_contact, enter_suppression, stop_contacts, suppress_address,
    forget_refusals, unsubscribe, erase_contact
    TO sequence_api;
GRANT EXECUTE ON FUNCTION store_canonical_hmac TO sequence_worker;
GRANT EXECUTE ON FUNCTION enter_suppression TO sequence_pipeline;
