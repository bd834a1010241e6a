-- name: claim_send
-- Waits are told in seconds of the database's clock: the worker's own may be wrong. The commit waits for no disk: a
-- claim that a crash of the server loses is fenced at the gate, and made again.
SELECT c.*, extract(epoch FROM c.retry_at - clock_timestamp())::float8 AS retry_seconds,
    set_config('synchronous_commit', 'off', true)
FROM claim_send(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(attempt)s, %(claim)s,
    make_interval(secs => %(lease_seconds)s), %(pads)s) c

-- name: renew_claim
SELECT renew_claim(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s,
    make_interval(secs => %(lease_seconds)s))

-- name: release_claim
SELECT release_claim(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s)

-- name: mark_transmitting
-- The gate: what it says is the last word before DATA.
SELECT g.verdict, g.reason, extract(epoch FROM g.retry_at - clock_timestamp())::float8 AS retry_seconds
FROM mark_transmitting(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s, %(pads)s) g

-- name: confirm_limit
-- A counter refused: the database says whether the limit is reached, and cancels the send if it is.
SELECT l.cancelled, l.remaining
FROM confirm_limit(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s) l

-- name: finish_send
-- No row: the claim is not the caller's any more, or an earlier call of the same outcome has landed.
SELECT f.status, f.reason
FROM finish_send(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s, %(outcome)s, %(fault)s,
    %(reason)s, %(smtp_code)s, %(enhanced_code)s, %(smtp_reply)s, %(provider_message_id)s,
    make_interval(secs => %(retry_seconds)s), make_interval(secs => %(park_seconds)s), %(pads)s) f

-- name: read_inboxes
SELECT * FROM read_inboxes()

-- name: keep_inbox_position
SELECT keep_inbox_position(%(mailbox_id)s, %(uid_validity)s, %(last_uid)s)

-- name: record_feedback
-- recorded, known, or absent: whatever it is, telling it again changes nothing.
SELECT record_feedback(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(kind)s, %(detail)s,
    make_interval(secs => %(park_seconds)s), %(pads)s) AS verdict

-- name: keep_secret
-- A provider may replace a refresh token; the one before works until it ends, so losing a race costs nothing.
SELECT keep_secret(%(mailbox_id)s, %(before)s, %(after)s)
