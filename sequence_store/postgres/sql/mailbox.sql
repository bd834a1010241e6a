-- name: read_secrets
-- With a lock, so that a token that a worker replaces meanwhile is not lost.
SELECT id, address, smtp_secret FROM mailboxes WHERE smtp_secret IS NOT NULL ORDER BY id FOR UPDATE

-- name: replace_secret
UPDATE mailboxes SET smtp_secret = %(secret)s WHERE id = %(id)s

-- name: read_mailbox
-- A mailbox, with what its sign-in needs.
SELECT id AS mailbox_id, address, smtp_host, smtp_port, smtp_security, smtp_username, smtp_secret
FROM mailboxes WHERE lower(address) = lower(%(address)s) AND deleted_at IS NULL
