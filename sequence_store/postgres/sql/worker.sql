-- Claims, gates and outcomes are each called for many sends in one transaction: `calls` is a JSON array of
-- objects, `n` a call's number in it, and the functions run in the array's order.

-- name: claim_send
-- Waits are seconds by the database's clock, because the worker's clock may be wrong. The commit does not
-- wait for the disk: if a crash of the server loses a claim, the gate fences it and the send is claimed
-- again.
SELECT k.n, c.*, mail_format_of(k.step_id) AS mail_format,
    extract(epoch FROM c.retry_at - clock_timestamp())::float8 AS retry_seconds,
    t.step_ids AS resumed_step_ids, t.rounds AS resumed_rounds, t.subject AS resumed_subject,
    set_config('synchronous_commit', 'off', true)
FROM jsonb_to_recordset(%(calls)s) k (
        n integer, sequence_id bigint, contact_id bigint, step_id bigint, round integer,
        attempt integer, claim uuid)
CROSS JOIN LATERAL
    claim_send(k.sequence_id, k.contact_id, k.step_id, k.round, k.attempt, k.claim,
        make_interval(secs => %(lease_seconds)s), %(pads)s) c
    LEFT JOIN LATERAL resumed_thread(k.sequence_id, k.contact_id, k.step_id, k.round) t
        ON c.verdict = 'claimed' AND k.round > 1

-- name: renew_claim
-- Extends the lease; false: the claim is no longer held.
SELECT renew_claim(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s,
    make_interval(secs => %(lease_seconds)s))

-- name: release_claim
-- Lets another worker claim the send now.
SELECT release_claim(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s)

-- name: store_canonical_hmac
-- For the rare address that is not stored in canonical form.
SELECT store_canonical_hmac(%(contact_id)s, %(address)s, %(canonical)s, %(pads)s)

-- name: mark_transmitting
-- The gate: the last check before DATA.
SELECT k.n, g.verdict, g.reason, extract(epoch FROM g.retry_at - clock_timestamp())::float8 AS retry_seconds
FROM jsonb_to_recordset(%(calls)s) k (
        n integer, sequence_id bigint, contact_id bigint, step_id bigint, round integer,
        claim uuid),
    mark_transmitting(k.sequence_id, k.contact_id, k.step_id, k.round, k.claim, %(pads)s) g

-- name: confirm_limit
-- A Valkey counter is used up: the database decides whether the limit is reached, and cancels the send if
-- it is.
SELECT l.cancelled, l.remaining
FROM confirm_limit(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(claim)s) l

-- name: finish_attempt
-- No row: the caller no longer holds the claim, or an earlier call recorded the outcome.
SELECT k.n, f.status, f.reason
FROM jsonb_to_recordset(%(calls)s) k (
        n integer, sequence_id bigint, contact_id bigint, step_id bigint, round integer,
        claim uuid, outcome text, fault text, reason text, cause text, suppresses boolean, parks text,
        counted text, smtp_code integer, enhanced_code text, smtp_reply text, provider_message_id text,
        retry_seconds float8, park_seconds float8),
    finish_attempt(k.sequence_id, k.contact_id, k.step_id, k.round, k.claim, k.outcome, k.fault, k.reason,
        k.cause, k.suppresses, k.parks, k.counted, k.smtp_code, k.enhanced_code, k.smtp_reply,
        k.provider_message_id, make_interval(secs => k.retry_seconds),
        make_interval(secs => k.park_seconds), %(pads)s) f

-- name: count_without_server
-- The active mailboxes that need SMTP_HOST.
SELECT mailboxes_without_server()

-- name: read_mailbox
-- A mailbox, with what a check of it needs.
SELECT * FROM mailbox_server(%(address)s)

-- name: read_inbox_accounts
-- The mailboxes to read, with their sign-in and the positions of their folders.
SELECT * FROM read_inbox_accounts()

-- name: record_mails
-- Records the verdicts on a batch of mails, each once; `mails` is a JSON array.
SELECT n, outcome FROM record_mails(%(mailbox_id)s, %(mails)s, %(bounds)s, %(pads)s)

-- name: move_inbox_position
-- Once all mails up to it have their verdict; false: another reader moved it.
SELECT move_inbox_position(%(mailbox_id)s, %(folder)s, %(uid_validity)s, %(expected)s, %(last_uid)s,
    %(newest_at)s, %(waiting)s, %(kinds)s)

-- name: forget_inbox_mails
SELECT forget_inbox_mails()

-- name: keep_secret
-- Stores a refresh token that a provider replaced. The previous one works until it expires, so losing a
-- race is harmless.
SELECT keep_secret(%(mailbox_id)s, %(before)s, %(after)s)
