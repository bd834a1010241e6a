CREATE INDEX contacts_address_hmac ON contacts (address_hmac);
DROP INDEX contacts_address_hmac_id;
