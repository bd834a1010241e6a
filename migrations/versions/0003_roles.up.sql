-- Least rights. The worker has functions alone; nobody but the claim reads a mailbox's secret.

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;

GRANT SELECT, INSERT, UPDATE ON sequences, steps, contacts, sequences_contacts TO sequence_api;
GRANT SELECT, INSERT, DELETE ON sequences_mailboxes, suppressions TO sequence_api;
GRANT INSERT, UPDATE ON mailboxes TO sequence_api;
GRANT SELECT ON sends, mailbox_days, plan_deferrals, send_events TO sequence_api;
GRANT INSERT ON send_events TO sequence_api;
GRANT EXECUTE ON FUNCTION address_hmac, cancel_step_sends TO sequence_api;

GRANT SELECT ON sequences, steps, contacts, sequences_mailboxes, sequences_contacts, suppressions,
    sends, mailbox_days, send_events, plan_deferrals TO sequence_pipeline, sequence_readonly;
GRANT UPDATE ON sequences_contacts TO sequence_pipeline;
GRANT UPDATE (is_active) ON sequences TO sequence_pipeline;
GRANT INSERT, UPDATE ON sends, mailbox_days TO sequence_pipeline;
GRANT INSERT, UPDATE, DELETE ON plan_deferrals TO sequence_pipeline;
GRANT INSERT ON suppressions, send_events TO sequence_pipeline;
GRANT EXECUTE ON FUNCTION address_hmac, send_gates, record_event, park_mailbox, park_after_unknowns,
    resolve_send TO sequence_pipeline;

GRANT SELECT (id, external_id, address, display_name, send_limit, send_start_time, send_end_time, time_zone,
    send_days, holiday_calendar, min_gap_seconds, max_first_mails, ramp_up_start, ramp_up_daily_increment,
    ramp_up_started, is_active, parked_until, parked_reason, tracking_host, smtp_host, smtp_port, smtp_security,
    smtp_username, created, updated, deleted_at)
    ON mailboxes TO sequence_api, sequence_pipeline, sequence_readonly;

GRANT EXECUTE ON FUNCTION claim_send, renew_claim, release_claim, mark_transmitting, finish_send, park_mailbox
    TO sequence_worker;
