-- name: name_mailboxes
-- Addresses of the mailboxes, which a forecast has by id.
SELECT id, address FROM mailboxes WHERE deleted_at IS NULL

-- name: name_sequences
-- Names of the sequences, which a forecast has by id.
SELECT id, sequence_name FROM sequences WHERE deleted_at IS NULL
