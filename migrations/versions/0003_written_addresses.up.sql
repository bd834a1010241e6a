ALTER TABLE contacts ADD COLUMN mail_address_written text;
COMMENT ON COLUMN contacts.mail_address IS
    'In canonical form; unique among contacts that are not deleted, ignoring case; empty: erased';
COMMENT ON COLUMN contacts.mail_address_written IS
    'The address as it was entered; null: as mail_address, or erased';
CREATE OR REPLACE TRIGGER contacts_updated
    BEFORE UPDATE OF name, mail_address, mail_address_written, is_active, attributes, deleted_at
    ON contacts FOR EACH ROW EXECUTE FUNCTION touch_updated();

ALTER TABLE imports
    ADD COLUMN opted_out bigint NOT NULL DEFAULT 0,
    ADD COLUMN missing_names bigint NOT NULL DEFAULT 0,
    ADD COLUMN opt_out_columns text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN imports.opted_out IS 'Rows whose contact does not want mail, by a column of the file';
COMMENT ON COLUMN imports.missing_names IS 'Rows whose name is empty or a placeholder';
COMMENT ON COLUMN imports.opt_out_columns IS 'The columns that were read as opt-outs';
