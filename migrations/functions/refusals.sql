-- Refusals that are no evidence alone that an address is dead. They are counted by address, over all
-- sequences, on dates (send_day); a mail that is accepted in between starts the count anew.

-- Counts a refusal of a send; returns whether it ends the enrolment.
--   address         the third date ends it; from the second such ending on the address is suppressed for 90
--                   days, then twice as long each time
--   access_denied   Exchange Online's 5.4.1: the second date shows that the address is dead
--   domain          the domain does not exist or takes no mail: the third date shows that it is dead
-- A returned mail refuses what a relay had accepted: the acceptance of that mail does not count.
CREATE OR REPLACE FUNCTION count_refusal(s sends, p_counted text, pads bytea) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    c contacts;
    counted refusals;
BEGIN
    SELECT * INTO c FROM contacts x WHERE x.id = s.contact_id;
    IF c.id IS NULL OR c.mail_address = '' THEN RETURN false; END IF; -- erased
    INSERT INTO refusals AS r (address_hmac, kind, days)
    VALUES (
        CASE p_counted WHEN 'domain' THEN domain_hmac(c.mail_address, pads) ELSE hmac_of_contact(c, pads) END,
        p_counted, ARRAY[s.send_day])
    ON CONFLICT (address_hmac, kind) DO UPDATE SET accepted_on = NULL,
        days = CASE WHEN r.accepted_on <> s.send_day THEN ARRAY[s.send_day]
            WHEN s.send_day = ANY (r.days) THEN r.days ELSE r.days || s.send_day END
    RETURNING * INTO counted;
    IF cardinality(counted.days) < (CASE p_counted WHEN 'access_denied' THEN 2 ELSE 3 END) THEN
        RETURN false;
    END IF;
    IF p_counted <> 'address' THEN
        PERFORM suppress_recipient(s, 'hard_bounce', NULL, pads);
        RETURN true;
    END IF;
    UPDATE refusals r SET days = '{}', endings = r.endings + 1
    WHERE r.address_hmac = counted.address_hmac AND r.kind = p_counted RETURNING * INTO counted;
    IF counted.endings >= 2 THEN
        PERFORM suppress_recipient(s, 'refused',
            clock_timestamp() + interval '90 days' * 2 ^ least(counted.endings - 2, 10), pads);
    END IF;
    RETURN true;
END $$;

-- Notes that a mail to the address was accepted, if refusals of it or of its domain are counted.
CREATE OR REPLACE FUNCTION note_accepted(s sends, pads bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM refusals) THEN RETURN; END IF;
    UPDATE refusals r SET accepted_on = s.send_day FROM contacts c
    WHERE c.id = s.contact_id AND r.accepted_on IS DISTINCT FROM s.send_day
        AND r.address_hmac IN (hmac_of_contact(c, pads), domain_hmac(c.mail_address, pads));
END $$;

REVOKE EXECUTE ON FUNCTION count_refusal, note_accepted
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
