-- Shares suppressions between deployments with the same ADDRESS_KEY, by the hash of each address.

-- name: export
-- Suppressions that have ended are left out.
SELECT address_hmac, reason, at, until FROM suppressions
WHERE is_in_force(until, clock_timestamp()) ORDER BY at, address_hmac

-- name: create_received
CREATE TEMPORARY TABLE received (
    address_hmac bytea PRIMARY KEY, reason text NOT NULL, at timestamptz NOT NULL, until timestamptz)
ON COMMIT DROP

-- name: enter_received
INSERT INTO received VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING

-- name: drop_ended
-- A suppression that has ended since the export stops nobody.
DELETE FROM received WHERE NOT is_in_force(until, clock_timestamp())

-- name: hash_contacts
-- Computes the hashes that no plan has computed yet, so that every contact of a received hash is found.
UPDATE contacts SET address_hmac = address_hmac(mail_address, %(pads)s)
WHERE address_hmac IS NULL AND mail_address <> ''

-- name: stop_received
-- Before the suppressions are written: a contact whose address is suppressed already has been stopped.
SELECT stop_contacts(
    ARRAY(
        SELECT c.id FROM received r JOIN contacts c USING (address_hmac)
        WHERE NOT EXISTS (SELECT FROM suppressions s WHERE s.address_hmac = r.address_hmac
            AND is_in_force(s.until, clock_timestamp()))),
    'removed', 'suppressed')

-- name: add_received
-- Returns how many suppressions are new or changed.
SELECT count(*) FILTER (WHERE enter_suppression(address_hmac, reason, at, until)) FROM received
