-- name: read_revision
-- The database's revision, for a comparison with the release's own.
SELECT schema_revision()
