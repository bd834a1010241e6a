-- name: list_suppressions
-- Suppressions, latest first; without addresses, because none are stored.
SELECT external_id AS id, reason, at, until FROM suppressions
WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(address)s::text IS NULL OR address_hmac = address_hmac(%(address)s, %(pads)s))
ORDER BY at DESC, id DESC LIMIT %(limit)s

-- name: lift_suppressions
-- Lifts all suppressions that match, and records who did it and why.
SELECT lift_suppressions(ARRAY(
    SELECT external_id FROM suppressions
    WHERE (%(ids)s::uuid[] IS NULL OR external_id = ANY (%(ids)s))
        AND (%(reason)s::text IS NULL OR reason = %(reason)s)
        AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)), %(by)s, %(why)s)

-- name: count_suppressions
-- How many suppressions match.
SELECT count(*) FROM suppressions
WHERE (%(ids)s::uuid[] IS NULL OR external_id = ANY (%(ids)s))
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
