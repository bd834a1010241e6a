DROP TABLE archived_sends, inbox_positions, reputation_events, send_counts, import_lines, imports,
    idempotency_keys, api_keys, plan_deferrals, send_events, mailbox_days, sends, sequences_contacts,
    sequences_mailboxes, suppressions, contacts, mailboxes, steps, sequences;

-- The roles stay: they belong to the cluster, and other databases may use them.
DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM sequence_api', current_database()); END $$;
REVOKE ALL ON SCHEMA public FROM sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT USAGE ON SCHEMA public TO PUBLIC;
