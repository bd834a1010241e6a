DROP TABLE plan_deferrals, send_events, mailbox_days, sends, sequences_contacts, sequences_mailboxes,
    suppressions, contacts, mailboxes, steps, sequences;
