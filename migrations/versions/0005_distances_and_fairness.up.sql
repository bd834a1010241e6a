-- Every new column is null or has a constant default, so no table is rewritten.
ALTER TABLE sequences ADD COLUMN steps_changed_at timestamptz;
COMMENT ON COLUMN sequences.steps_changed_at IS
    'A step was added, moved, deleted or got another delay; null: every next_send has its delay';
ALTER TABLE sequences_contacts ADD COLUMN last_offset smallint;
ALTER TABLE mailbox_days ADD COLUMN grid_from timestamptz, ADD COLUMN utc_offset smallint;
ALTER TABLE mailboxes ADD COLUMN ramp_up_days integer NOT NULL DEFAULT 0, ADD COLUMN ramp_up_counted date;

CREATE TRIGGER mailboxes_ramp_up_restarts BEFORE UPDATE OF ramp_up_started ON mailboxes FOR EACH ROW
    WHEN (OLD.ramp_up_started IS DISTINCT FROM NEW.ramp_up_started)
    EXECUTE FUNCTION restart_ramp_up();
CREATE TRIGGER steps_added AFTER INSERT ON steps FOR EACH ROW EXECUTE FUNCTION mark_steps_changed();
CREATE TRIGGER steps_changed AFTER UPDATE OF step_number, delay_days, deleted_at ON steps FOR EACH ROW
    WHEN ((OLD.step_number, OLD.delay_days, OLD.deleted_at)
        IS DISTINCT FROM (NEW.step_number, NEW.delay_days, NEW.deleted_at))
    EXECUTE FUNCTION mark_steps_changed();

CREATE TABLE plan_cuts (
    plan_day date NOT NULL,
    class integer NOT NULL,
    made_at timestamptz NOT NULL,
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
    sequences_left bigint[] NOT NULL,
    PRIMARY KEY (plan_day, class)
);

COMMENT ON TABLE plan_cuts IS
    'For each class in which somebody waits: the full places that prove that no plan serves more';
COMMENT ON COLUMN plan_cuts.made_at IS 'The moment for which the plan was made';
COMMENT ON COLUMN plan_cuts.class IS 'Position in the order of classes; 0 is served first';
COMMENT ON COLUMN plan_cuts.overdue IS 'Days overdue of a class of follow-ups; -1 for first mails';
COMMENT ON COLUMN plan_cuts.served IS 'Contacts of this class and those before it that the plan serves';
COMMENT ON COLUMN plan_cuts.bound IS 'The most that any plan can serve of them';
COMMENT ON COLUMN plan_cuts.waiting IS 'Contacts of this class and those before it that wait';
COMMENT ON COLUMN plan_cuts.intervals IS
    'Full intervals beside those of the classes before it: pairs of mailbox id and send_day';
COMMENT ON COLUMN plan_cuts.first_mail_mailboxes IS
    'Mailboxes whose max_first_mails is reached, beside those of the classes before it';
COMMENT ON COLUMN plan_cuts.first_mail_sequences IS
    'Sequences whose max_new_per_day is reached, beside those of the classes before it';
COMMENT ON COLUMN plan_cuts.mailboxes_left IS
    'Mailboxes whose max_first_mails counts no more from this class on, because their intervals are full';
COMMENT ON COLUMN plan_cuts.sequences_left IS
    'Sequences whose max_new_per_day counts no more from this class on, because their mailboxes are full';

COMMENT ON COLUMN steps.delay_days IS
    'Days after the date of the mail before it, at least 1; of the first step, after the enrolment';
COMMENT ON COLUMN sequences_contacts.next_send IS
    'Date from which the next mail is due: of a follow-up a date of its mailbox; null: none is';
COMMENT ON COLUMN sequences_contacts.last_send IS 'Date (send_day) of the last mail of this round';
COMMENT ON COLUMN sequences_contacts.last_offset IS
    'Minutes from UTC of the last mail''s mailbox when its window started';
COMMENT ON COLUMN sends.due_day IS 'Date on which the mail fell due';
COMMENT ON COLUMN sends.send_day IS
    'Date of the mail: on which its window starts, in its mailbox''s zone; its limit counts it';
COMMENT ON COLUMN mailbox_days.grid_from IS
    'First cell of the grid of gaps, kept as first written; null: the day was not planned';
COMMENT ON COLUMN mailbox_days.utc_offset IS 'Minutes from UTC when the window starts';
COMMENT ON COLUMN mailboxes.ramp_up_days IS
    'Dates of the ramp-up on which at least half of the allowed was accepted';
COMMENT ON COLUMN mailboxes.ramp_up_counted IS 'Last date that ramp_up_days has counted';

GRANT UPDATE (steps_changed_at) ON sequences TO sequence_pipeline;
GRANT UPDATE (ramp_up_days, ramp_up_counted) ON mailboxes TO sequence_pipeline;
GRANT SELECT (ramp_up_days, ramp_up_counted) ON mailboxes
    TO sequence_api, sequence_pipeline, sequence_readonly;
GRANT SELECT ON plan_cuts TO sequence_pipeline, sequence_readonly;
GRANT INSERT, DELETE ON plan_cuts TO sequence_pipeline;
