-- name: pause_all
-- False: all sending is paused already.
SELECT pause_all(%(reason)s)

-- name: resume_all
-- No row: nothing is paused.
UPDATE pauses SET resumed_at = clock_timestamp() WHERE resumed_at IS NULL RETURNING paused_at, reason

-- name: read_pause
-- The open pause; no row: nothing is paused.
SELECT paused_at, reason FROM pauses WHERE resumed_at IS NULL

-- name: count_under_way
-- Mails that passed the gate before the pause: a server may still accept them.
SELECT count(*) FROM sends WHERE status = 'transmitting'

-- name: count_held_back
-- Sends that the pause cancelled.
SELECT count(*) FROM sends WHERE status = 'cancelled' AND reason = 'all_paused' AND send_at >= %(since)s
