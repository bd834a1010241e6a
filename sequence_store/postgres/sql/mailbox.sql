-- name: read_secrets
-- With a lock, so that a token that a worker replaces meanwhile is not lost.
SELECT id, address, smtp_secret FROM mailboxes WHERE smtp_secret IS NOT NULL ORDER BY id FOR UPDATE

-- name: replace_secret
UPDATE mailboxes SET smtp_secret = %(secret)s WHERE id = %(id)s

-- name: read_webhook_secrets
-- The current secrets of webhooks, and the previous ones of those that are rotated.
SELECT id, external_id, secret, previous_secret FROM webhooks
WHERE deleted_at IS NULL ORDER BY id FOR UPDATE

-- name: replace_webhook_secrets
UPDATE webhooks SET secret = %(secret)s, previous_secret = %(previous)s WHERE id = %(id)s
