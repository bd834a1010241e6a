ALTER TABLE imports DROP COLUMN opt_out_columns, DROP COLUMN missing_names, DROP COLUMN opted_out;

CREATE OR REPLACE TRIGGER contacts_updated
    BEFORE UPDATE OF name, mail_address, is_active, attributes, deleted_at
    ON contacts FOR EACH ROW EXECUTE FUNCTION touch_updated();
ALTER TABLE contacts DROP COLUMN mail_address_written;
COMMENT ON COLUMN contacts.mail_address IS
    'Unique among contacts that are not deleted, ignoring case; empty: erased';
