-- name: claim_send
-- Takes a send for one worker and returns all that its mail needs.
SELECT * FROM claim_send(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(attempt)s, %(claim)s,
    make_interval(secs => %(lease_seconds)s), %(pads)s)

-- name: renew_claim
-- Keeps a claim while its holder works.
SELECT renew_claim(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s,
    make_interval(secs => %(lease_seconds)s))

-- name: release_claim
-- Gives a claim to whoever comes next.
SELECT release_claim(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s)

-- name: mark_transmitting
-- The gate directly before DATA.
SELECT * FROM mark_transmitting(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s, %(pads)s)

-- name: finish_send
-- The outcome of an attempt.
SELECT * FROM finish_send(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s, %(outcome)s,
    %(fault)s, %(reason)s, %(code)s, %(enhanced_code)s, %(reply)s, %(provider_message_id)s,
    make_interval(secs => %(retry_seconds)s), make_interval(secs => %(park_seconds)s), %(pads)s)
