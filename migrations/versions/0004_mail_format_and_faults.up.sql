ALTER TABLE steps ADD COLUMN mail_format text NOT NULL DEFAULT 'auto';
ALTER TABLE steps ADD CONSTRAINT steps_mail_format CHECK (mail_format IN ('auto', 'text', 'html')) NOT VALID;

COMMENT ON COLUMN steps.mail_format IS
    'What mail_content is: text, html, or auto (HTML if it holds an element of HTML''s vocabulary)';

ALTER TABLE suppressions ADD COLUMN until timestamptz;

COMMENT ON COLUMN suppressions.until IS
    'When the address may be mailed again; null: never. Only repeated refusals have an end';

CREATE TABLE policy_refusals (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    mailbox_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL,
    domain_hmac bytea,
    mailbox_mails bigint NOT NULL,
    PRIMARY KEY (sequence_id, contact_id, step_id, round)
);
CREATE INDEX policy_refusals_mailbox ON policy_refusals (mailbox_id, mailbox_mails);

COMMENT ON TABLE policy_refusals IS
    'A reputation event: a server refused a mail for the sender''s authentication, reputation or content';
COMMENT ON COLUMN policy_refusals.domain_hmac IS 'HMAC of @ and the recipient''s domain';
COMMENT ON COLUMN policy_refusals.mailbox_mails IS 'Mails of the mailbox in send_counts at that moment';

CREATE TABLE refusals (
    address_hmac bytea NOT NULL,
    kind text NOT NULL CHECK (kind IN ('address', 'access_denied', 'domain')),
    days date[] NOT NULL,
    endings integer NOT NULL DEFAULT 0,
    accepted_on date,
    PRIMARY KEY (address_hmac, kind)
);

COMMENT ON TABLE refusals IS 'Refusals that are no evidence alone that an address is dead, by address';
COMMENT ON COLUMN refusals.address_hmac IS 'HMAC of the address; of kind domain, of @ and the domain';
COMMENT ON COLUMN refusals.days IS 'The dates of mails that were refused, with nothing accepted between';
COMMENT ON COLUMN refusals.endings IS 'How often the refusals ended an enrolment';
COMMENT ON COLUMN refusals.accepted_on IS 'The date of a later mail that was accepted';

GRANT SELECT ON refusals, policy_refusals TO sequence_readonly;
