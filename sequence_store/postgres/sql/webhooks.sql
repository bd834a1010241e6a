-- The receivers of the feed, for the program `sequences webhooks`.

-- name: try_lock
-- One program sends at a time; another one waits for its end.
SELECT pg_try_advisory_lock(72371)

-- name: find_due
-- The webhooks that have something to get now.
SELECT w.id, w.external_id, w.url, w.kinds, w.secret,
    CASE WHEN w.previous_until > clock_timestamp() THEN w.previous_secret END AS previous_secret,
    w.test_requested_at IS NOT NULL AS is_test,
    greatest(w.cursor_position, least(f.removed_to, f.last_position)) AS after, f.last_position
FROM webhooks w, feed f
WHERE w.deleted_at IS NULL AND (w.test_requested_at IS NOT NULL
    OR (w.is_active AND w.cursor_position < f.last_position
        AND (w.next_attempt_at IS NULL OR w.next_attempt_at <= clock_timestamp())))
ORDER BY w.id

-- name: keep_delivered
-- The events up to this position were delivered, or are of other kinds.
UPDATE webhooks SET cursor_position = %(position)s, failures = 0, failing_since = NULL,
    next_attempt_at = NULL, last_error = NULL,
    delivered_at = CASE WHEN %(delivered)s THEN clock_timestamp() ELSE delivered_at END
WHERE id = %(id)s AND cursor_position < %(position)s

-- name: keep_failure
-- The next attempt waits longer with each failure, at most an hour.
UPDATE webhooks SET failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp()),
    last_error = left(%(error)s, 200),
    next_attempt_at = clock_timestamp()
        + make_interval(secs => least(3600, %(first_seconds)s::float8 * power(2, least(failures, 20))))
WHERE id = %(id)s

-- name: switch_off
-- It has failed for three days, or its receiver said that it is gone: off, with an event.
WITH off AS (
    UPDATE webhooks SET is_active = false, switched_off_at = clock_timestamp()
    WHERE id = %(id)s AND is_active
        AND (%(gone)s OR failing_since <= clock_timestamp() - make_interval(secs => %(give_up_seconds)s))
    RETURNING external_id)
INSERT INTO send_events (at, kind, detail)
SELECT clock_timestamp(), 'webhook_switched_off', jsonb_build_object('webhook_id', external_id,
    'reason', CASE WHEN %(gone)s THEN 'the receiver is gone' ELSE 'failed for three days' END)
FROM off

-- name: keep_test
UPDATE webhooks SET test_requested_at = NULL, tested_at = clock_timestamp(),
    test_result = left(%(result)s, 200)
WHERE id = %(id)s
