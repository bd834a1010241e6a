DROP INDEX sequences_contacts_by_status, contacts_inactive_address, contacts_inactive, contacts_active,
    contacts_live, mailboxes_inactive, mailboxes_active, mailboxes_live, sequences_inactive,
    sequences_active, sequences_live;
DROP TRIGGER contacts_forget_answers ON contacts;
DROP FUNCTION forget_answers;
DROP TABLE idempotency_keys, api_keys;
