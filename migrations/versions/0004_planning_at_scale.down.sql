ALTER TABLE sends ALTER status DROP DEFAULT;
DROP INDEX contacts_unmailable;
DROP TRIGGER contacts_updated ON contacts;
CREATE TRIGGER contacts_updated BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION touch_updated();
DROP TRIGGER contacts_address_changed ON contacts;
DROP FUNCTION forget_address_hmac;
ALTER TABLE contacts DROP COLUMN address_hmac;
