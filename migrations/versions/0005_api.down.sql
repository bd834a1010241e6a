DROP INDEX sequences_contacts_by_status, contacts_inactive_address, contacts_by_activity, contacts_live,
    mailboxes_by_activity, mailboxes_live, sequences_by_activity, sequences_live;
DROP TRIGGER contacts_forget_answers ON contacts;
DROP FUNCTION forget_answers;
DROP TABLE idempotency_keys, api_keys;
