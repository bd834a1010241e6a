COMMENT ON TABLE send_events IS
    'The feed: what happened to mails, contacts, mailboxes and sequences; append-only';
COMMENT ON COLUMN send_events.position IS
    'Its place in the feed, given by sequence_events; null: not in the feed yet';
COMMENT ON COLUMN send_events.machine IS
    'Of opened and clicked: whether a program fetched the link, not a person; null of all other kinds';

-- Every way in which a mail gets its outcome goes through these rows, so the events are recorded here.
CREATE TRIGGER sends_outcome AFTER UPDATE OF status ON sends FOR EACH ROW
    WHEN (NEW.status IN ('sent', 'hard_failed', 'unknown') AND OLD.status <> NEW.status)
    EXECUTE FUNCTION record_outcome();
CREATE TRIGGER sequences_contacts_completed AFTER UPDATE OF status ON sequences_contacts FOR EACH ROW
    WHEN (NEW.status = 'completed' AND OLD.status <> 'completed')
    EXECUTE FUNCTION record_completion();

CREATE TABLE feed (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_position bigint NOT NULL DEFAULT 0,
    removed_to bigint NOT NULL DEFAULT 0,
    facts_position bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO feed DEFAULT VALUES;

COMMENT ON TABLE feed IS 'How far the feed and its readers are; one row';
COMMENT ON COLUMN feed.last_position IS 'The position of the latest event';
COMMENT ON COLUMN feed.removed_to IS 'Events up to this position may have been removed because of their age';
COMMENT ON COLUMN feed.facts_position IS 'Up to this event, the days that it changed are marked in fact_days';

CREATE TABLE mail_outcomes (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    mailbox_id bigint,
    send_day date,
    outcome text CHECK (outcome IN ('sent', 'hard_failed', 'unknown')),
    finished_at timestamptz,
    is_first boolean NOT NULL DEFAULT false,
    enrolment_replied_at timestamptz,
    first_opened_at timestamptz,
    first_clicked_at timestamptz,
    machine_opened_at timestamptz,
    machine_clicked_at timestamptz,
    opens integer NOT NULL DEFAULT 0,
    clicks integer NOT NULL DEFAULT 0,
    machine_opens integer NOT NULL DEFAULT 0,
    machine_clicks integer NOT NULL DEFAULT 0,
    replied_at timestamptz,
    auto_replied_at timestamptz,
    hard_bounced_at timestamptz,
    soft_bounced_at timestamptz,
    complained_at timestamptz,
    unsubscribed_at timestamptz,
    position bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (sequence_id, contact_id, step_id, round)
) WITH (fillfactor = 80);

CREATE INDEX mail_outcomes_finished ON mail_outcomes (finished_at);

COMMENT ON TABLE mail_outcomes IS
    'What the feed says of each mail, as sequence_events computed it; it outlives the events';
COMMENT ON COLUMN mail_outcomes.outcome IS 'The outcome in the ledger; null: the mail has none, or none yet';
COMMENT ON COLUMN mail_outcomes.is_first IS 'The first mail of its enrolment''s round';
COMMENT ON COLUMN mail_outcomes.enrolment_replied_at IS 'The first reply to any mail of the round';
COMMENT ON COLUMN mail_outcomes.opens IS 'Fetches of the pixel by a person; machine_opens by programs';
COMMENT ON COLUMN mail_outcomes.clicks IS 'Links followed by a person; machine_clicks by programs';
COMMENT ON COLUMN mail_outcomes.position IS 'The latest event of the mail';

CREATE TABLE outcome_days (
    grain text NOT NULL CHECK (grain IN ('day', 'step', 'mailbox', 'sequence_mailbox', 'step_month',
        'mailbox_month', 'sequence_mailbox_month')),
    send_day date NOT NULL,
    sequence_id bigint NOT NULL,
    step_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    mails bigint NOT NULL DEFAULT 0,
    sent bigint NOT NULL DEFAULT 0,
    unknown bigint NOT NULL DEFAULT 0,
    hard_failed bigint NOT NULL DEFAULT 0,
    opened bigint NOT NULL DEFAULT 0,
    clicked bigint NOT NULL DEFAULT 0,
    machine_opened bigint NOT NULL DEFAULT 0,
    machine_clicked bigint NOT NULL DEFAULT 0,
    replied bigint NOT NULL DEFAULT 0,
    bounced bigint NOT NULL DEFAULT 0,
    complained bigint NOT NULL DEFAULT 0,
    unsubscribed bigint NOT NULL DEFAULT 0,
    enrolments bigint NOT NULL DEFAULT 0,
    enrolments_replied bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (grain, send_day, sequence_id, step_id, mailbox_id)
) WITH (fillfactor = 50);
CREATE INDEX outcome_days_sequence ON outcome_days (grain, sequence_id, send_day);

COMMENT ON TABLE outcome_days IS
    'Sums of mail_outcomes by day, kept by sequence_events in the same transaction';
COMMENT ON COLUMN outcome_days.grain IS
    'What a row counts, of a day or of the month that begins on send_day; ids that do not apply are 0';
COMMENT ON COLUMN outcome_days.send_day IS 'The day of the mail, also for a reply that comes weeks later';
COMMENT ON COLUMN outcome_days.mails IS 'sent and unknown';
COMMENT ON COLUMN outcome_days.enrolments IS 'First mails: enrolments that began on this day';
COMMENT ON COLUMN outcome_days.enrolments_replied IS 'Those of them that replied to any mail of the round';

CREATE TABLE fact_days (
    day date PRIMARY KEY,
    changed_at timestamptz,
    written_at timestamptz,
    mails bigint
);

COMMENT ON TABLE fact_days IS 'The planning days of mail_facts, and which of them are to be written again';
COMMENT ON COLUMN fact_days.changed_at IS
    'When an event first changed it after it was written; null: it is current';
COMMENT ON COLUMN fact_days.written_at IS 'Up to when its file shows the facts; null: it was never written';
COMMENT ON COLUMN fact_days.mails IS 'Rows of its file';

CREATE TABLE webhooks (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    external_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    url text NOT NULL,
    kinds text[],
    secret text NOT NULL,
    previous_secret text,
    previous_until timestamptz,
    is_active boolean NOT NULL DEFAULT true,
    cursor_position bigint NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    next_attempt_at timestamptz,
    last_error text,
    delivered_at timestamptz,
    switched_off_at timestamptz,
    test_requested_at timestamptz,
    test_result text,
    tested_at timestamptz,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz,
    deleted_at timestamptz
);
CREATE INDEX webhooks_live ON webhooks (id) WHERE deleted_at IS NULL;
CREATE TRIGGER webhooks_updated BEFORE UPDATE OF url, kinds, secret, is_active, deleted_at ON webhooks
    FOR EACH ROW EXECUTE FUNCTION touch_updated();

COMMENT ON TABLE webhooks IS 'A receiver of the feed over https';
COMMENT ON COLUMN webhooks.external_id IS 'The id in the API';
COMMENT ON COLUMN webhooks.kinds IS 'The kinds of events that it gets; null: all';
COMMENT ON COLUMN webhooks.secret IS 'Signs its messages; encrypted with SECRET_KEYS';
COMMENT ON COLUMN webhooks.previous_secret IS 'Also signs until previous_until, while it is rotated';
COMMENT ON COLUMN webhooks.cursor_position IS 'The events up to this position were delivered';
COMMENT ON COLUMN webhooks.failing_since IS
    'The first failure since the last delivery; after three days it is off';
COMMENT ON COLUMN webhooks.switched_off_at IS 'When it was switched off because it failed for too long';
COMMENT ON COLUMN webhooks.test_requested_at IS
    'A test event is to be sent; null: it was, or none was requested';

CREATE TABLE check_results (
    asset text NOT NULL,
    check_name text NOT NULL,
    passed boolean NOT NULL,
    severity text NOT NULL,
    blocking boolean NOT NULL DEFAULT false,
    in_a_row integer NOT NULL DEFAULT 1,
    run_id text NOT NULL,
    at timestamptz NOT NULL,
    alerted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (asset, check_name)
);

COMMENT ON TABLE check_results IS 'The latest result of each asset check, for alerts and metrics';
COMMENT ON COLUMN check_results.in_a_row IS 'How many results in a row were the same';
COMMENT ON COLUMN check_results.alerted IS 'An alert was sent that it fails, and none that it passes again';

GRANT SELECT ON feed, mail_outcomes, outcome_days TO sequence_api, sequence_pipeline, sequence_readonly;
GRANT SELECT ON fact_days, check_results TO sequence_pipeline, sequence_readonly;
GRANT INSERT, UPDATE, DELETE ON fact_days, check_results TO sequence_pipeline;
GRANT UPDATE (facts_position) ON feed TO sequence_pipeline;
GRANT INSERT, UPDATE ON webhooks TO sequence_api;
GRANT SELECT (id, external_id, url, kinds, previous_until, is_active, cursor_position, failures,
    failing_since, next_attempt_at, last_error, delivered_at, switched_off_at, test_requested_at, test_result,
    tested_at,    created, updated, deleted_at) ON webhooks TO sequence_api, sequence_readonly;
GRANT SELECT, UPDATE ON webhooks TO sequence_pipeline;
