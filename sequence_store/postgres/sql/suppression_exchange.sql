-- Shares suppressions between deployments with the same ADDRESS_KEY, by the hash of each address.

-- name: export
SELECT address_hmac, reason, at FROM suppressions ORDER BY at, address_hmac

-- name: create_received
CREATE TEMPORARY TABLE received (
    address_hmac bytea PRIMARY KEY, reason text NOT NULL, at timestamptz NOT NULL) ON COMMIT DROP

-- name: enter_received
INSERT INTO received VALUES (%s, %s, %s) ON CONFLICT DO NOTHING

-- name: hash_contacts
-- Computes the hashes that no plan has computed yet, so that every contact of a received hash is found.
UPDATE contacts SET address_hmac = address_hmac(mail_address, %(pads)s)
WHERE address_hmac IS NULL AND mail_address <> ''

-- name: stop_received
-- Before the suppressions are written: a contact whose address is suppressed already has been stopped.
SELECT stop_contacts(
    ARRAY(
        SELECT c.id FROM received r JOIN contacts c USING (address_hmac)
        WHERE NOT EXISTS (SELECT FROM suppressions s WHERE s.address_hmac = r.address_hmac)),
    'removed', 'suppressed')

-- name: add_received
-- The rule of suppress_address: a request of the contact replaces the product's own reasons. Only rows that
-- this statement added or changed are counted.
INSERT INTO suppressions AS x (address_hmac, reason, at) SELECT * FROM received
ON CONFLICT (address_hmac) DO UPDATE SET reason = excluded.reason, at = excluded.at
    WHERE excluded.reason = 'unsubscribed' AND x.reason NOT IN ('unsubscribed', 'complaint', 'erased')
