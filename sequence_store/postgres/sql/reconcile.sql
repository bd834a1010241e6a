-- name: requeue_dispatched
-- Returns to planned: dispatched rows whose message vanished, unclaimed for longer than a message can be
-- late.
UPDATE sends SET status = 'planned', reason = 'message_vanished', dispatched_at = NULL, attempt = attempt + 1
WHERE send_at >= %(since)s AND status = 'dispatched'
    AND greatest(send_at, dispatched_at) <= clock_timestamp() - make_interval(secs => %(older_than_seconds)s)
    AND not_after >= clock_timestamp()
RETURNING sequence_id, contact_id, step_id, round

-- name: release_lost_claims
-- Returns to planned: claims whose worker died and whose message no other worker received.
UPDATE sends SET status = 'planned', reason = 'claim_lost', dispatched_at = NULL, attempt = attempt + 1,
    claim = NULL, lease_until = NULL
WHERE send_at >= %(since)s AND status = 'claimed'
    AND lease_until <= clock_timestamp() - make_interval(secs => %(older_than_seconds)s)
    AND not_after >= clock_timestamp()
RETURNING sequence_id, contact_id, step_id, round

-- name: settle_transmitting
-- Makes unknown: sends whose worker vanished when the final dot may have been sent. They are not sent
-- again. Three unknown outcomes in a row park the mailbox for park_seconds.
WITH settled AS (
    UPDATE sends SET status = 'unknown', reason = 'no_answer', finished_at = clock_timestamp()
    WHERE send_at >= %(since)s AND status = 'transmitting'
        AND transmitting_at <= clock_timestamp() - make_interval(secs => %(bound_seconds)s)
    RETURNING sends AS s)
SELECT record_reputation_event(s, 'unknown', make_interval(secs => %(park_seconds)s)) FROM settled

-- name: count_unsettled
-- Sends that may need an operator.
SELECT count(*) FILTER (WHERE status = 'unknown' AND advanced_at IS NULL) AS unknown,
    count(*) FILTER (WHERE status = 'transmitting') AS transmitting,
    count(*) FILTER (WHERE status IN ('sent', 'hard_failed') AND advanced_at IS NULL) AS not_advanced
FROM sends WHERE send_at >= %(since)s
