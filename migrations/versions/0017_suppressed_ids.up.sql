-- Which contacts are suppressed is read from the index alone, without a look at each contact's page.
CREATE INDEX contacts_address_hmac_id ON contacts (address_hmac) INCLUDE (id);
DROP INDEX contacts_address_hmac;
