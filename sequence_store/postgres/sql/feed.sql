-- The feed (migrations/functions/feed.sql).

-- name: sequence_events
-- Gives positions to the events that have none; null: another caller is at it.
SELECT sequence_events(%(most)s, make_interval(secs => %(hold_seconds)s)) AS positioned

-- name: read_state
-- How far the feed is.
SELECT last_position, removed_to FROM feed

-- name: read_events
-- The events after a position, in order.
SELECT event_position AS position, at, kind, sequence_id, contact_id, step_id, step_number, mailbox_id, round,
    machine, detail
FROM read_feed(%(after)s, %(upto)s, %(kinds)s::text[], %(most)s)

-- name: remove_old
-- A batch of events that are too old; their effects on facts and roll-ups stay.
SELECT remove_old_events(%(days)s, %(most)s)
