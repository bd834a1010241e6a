-- The address's HMAC, kept: a plan compares millions with the suppressions and would compute each of them anew.
-- Null until the pipeline has computed it; claim and gate never trust it.
ALTER TABLE contacts ADD COLUMN address_hmac bytea;
CREATE INDEX contacts_address_hmac ON contacts (address_hmac);

CREATE FUNCTION forget_address_hmac() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.address_hmac := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER contacts_address_changed BEFORE UPDATE OF mail_address ON contacts FOR EACH ROW
    WHEN (NEW.mail_address IS DISTINCT FROM OLD.mail_address) EXECUTE FUNCTION forget_address_hmac();
REVOKE EXECUTE ON FUNCTION forget_address_hmac FROM PUBLIC;

-- Keeping the HMAC is no change of the contact.
DROP TRIGGER contacts_updated ON contacts;
CREATE TRIGGER contacts_updated BEFORE UPDATE OF name, mail_address, is_active, attributes, deleted_at ON contacts
    FOR EACH ROW EXECUTE FUNCTION touch_updated();

-- The few that cannot be mailed, so that a plan need not look at all the others.
CREATE INDEX contacts_unmailable ON contacts (id) WHERE NOT is_active OR deleted_at IS NOT NULL
    OR mail_address !~ '^[^@[:space:]<>,;]+@[^@[:space:]<>,;]+$';

GRANT UPDATE (address_hmac) ON contacts TO sequence_pipeline;

-- COPY writes planned rows alone, and leaves the word out.
ALTER TABLE sends ALTER status SET DEFAULT 'planned';
