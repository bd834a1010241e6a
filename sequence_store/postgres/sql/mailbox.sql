-- name: read_secrets
-- With a lock, so that a token that a worker replaces meanwhile is not lost.
SELECT id, address, smtp_secret FROM mailboxes WHERE smtp_secret IS NOT NULL ORDER BY id FOR UPDATE

-- name: replace_secret
UPDATE mailboxes SET smtp_secret = %(secret)s WHERE id = %(id)s
