-- What a program asks about the schema before it starts its work.

-- The revision of the tables, or null before the first migration. A program compares it with the newest one
-- of its own release.
CREATE OR REPLACE FUNCTION schema_revision() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT max(version_num) FROM alembic_version
$$;

REVOKE EXECUTE ON FUNCTION schema_revision() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION schema_revision()
    TO sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
