-- name: create_key
-- Stores only the hash; the key itself is shown once.
INSERT INTO api_keys (key_name, key_hash, scopes, expires_at)
VALUES (%(key_name)s, %(key_hash)s, %(scopes)s, now() + make_interval(days => %(days)s::integer)) RETURNING id

-- name: list_keys
-- Keys and their state, as the API applies it now.
SELECT id,
    CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'valid' END,
    created, expires_at, array_to_string(scopes, ','), key_name
FROM api_keys ORDER BY id

-- name: revoke_key
-- Revoking a key again keeps the time of the first revocation.
UPDATE api_keys SET revoked_at = now() WHERE id = %(id)s AND revoked_at IS NULL RETURNING id
