-- The rules of mail addresses that SQL needs. An index names is_valid_address, so the baseline applies this
-- file first.

-- The shape without which a contact is not planned: one @, something on both sides, and no white space or
-- separator. The index contacts_unmailable holds the contacts that fail it: a migration that changes the
-- rule rebuilds the index. sequence_store/domain/addresses.py has the rule itself, which is stricter.
CREATE OR REPLACE FUNCTION is_valid_address(address text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN address ~ '^[^@[:space:]<>,;]+@[^@[:space:]<>,;]+$';

-- The HMAC-SHA256 of an address in its canonical form (sequence_store/domain/addresses.py), ignoring the
-- case of ASCII letters and surrounding blanks. Only of ASCII letters, in every locale: the canonical form
-- has other letters in lower case. `pads` is the key as its inner and outer block, 64 bytes each
-- (Settings.address_pads).
CREATE OR REPLACE FUNCTION address_hmac(address text, pads bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sha256(
    substr(pads, 65, 64)
    || sha256(substr(pads, 1, 64) || convert_to(lower(btrim(address) COLLATE "C"), 'UTF8')));

-- The HMAC of an address's domain with its @; no address has the same.
CREATE OR REPLACE FUNCTION domain_hmac(address text, pads bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN address_hmac(substring(address FROM '@[^@]*$'), pads);

-- The domain of an address in lower case; empty if it has none. The index contacts_mail_domain uses it.
CREATE OR REPLACE FUNCTION mail_domain(address text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN lower(split_part(address, '@', 2));

REVOKE EXECUTE ON FUNCTION is_valid_address, address_hmac, domain_hmac, mail_domain
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
-- Writing a contact evaluates the indexes contacts_unmailable and contacts_mail_domain.
GRANT EXECUTE ON FUNCTION is_valid_address, address_hmac, mail_domain TO sequence_api, sequence_pipeline;
