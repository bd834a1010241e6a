-- Everything goes back into the ledger: without the archive only a row there stops a second mailing.
DROP FUNCTION archive_sends;
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at, not_after,
    status, reason, attempt, transmitting_at, finished_at, smtp_code, enhanced_code, provider_message_id, advanced_at)
SELECT sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at, send_at,
    status, reason, attempt, finished_at, finished_at, smtp_code, enhanced_code, provider_message_id,
    CASE WHEN status NOT IN ('cancelled', 'expired') THEN coalesce(finished_at, send_at) END
FROM archived_sends
ON CONFLICT DO NOTHING;
DROP TRIGGER sequences_contacts_stay_ended ON sequences_contacts;
DROP FUNCTION refuse_to_reopen;
CREATE OR REPLACE FUNCTION closed_gate(s sends, pads bytea) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT closed FROM send_gates(pads) g
    WHERE g.sequence_id = s.sequence_id AND g.contact_id = s.contact_id AND g.step_id = s.step_id
        AND g.round = s.round
$$;
DROP TABLE archived_sends;
