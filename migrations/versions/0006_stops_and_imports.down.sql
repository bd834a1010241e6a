DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM sequence_api', current_database()); END $$;
DROP TABLE import_lines, imports;
DROP FUNCTION erase_contact, unsubscribe, suppress_address, stop_contacts, contacts_of_address;
DROP INDEX contacts_deleted_address;
ALTER TABLE suppressions DROP COLUMN external_id, DROP COLUMN id;
