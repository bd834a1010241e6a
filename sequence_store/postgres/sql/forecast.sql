-- name: name_mailboxes
-- What people call the mailboxes that a forecast numbers.
SELECT id, address FROM mailboxes WHERE deleted_at IS NULL

-- name: name_sequences
-- What people call the sequences that a forecast numbers.
SELECT id, sequence_name FROM sequences WHERE deleted_at IS NULL
