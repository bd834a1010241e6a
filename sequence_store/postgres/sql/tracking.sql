-- name: wait_a_second_at_most
-- The recipient waits for the page; recording the event must not delay it.
SELECT set_config('statement_timeout', '1000', true)

-- name: record_link_event
-- Bounded, so that fetching one link a million times does not fill the table.
INSERT INTO send_events (sequence_id, contact_id, step_id, round, kind, detail)
SELECT %(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(kind)s,
    jsonb_build_object('link', %(place)s::bigint)
WHERE (SELECT count(*) FROM (SELECT FROM send_events v
        WHERE v.sequence_id = %(sequence_id)s AND v.contact_id = %(contact_id)s AND v.step_id = %(step_id)s
            AND v.round = %(round)s AND v.kind = %(kind)s LIMIT %(most)s) those) < %(most)s

-- name: unsubscribe
SELECT unsubscribe(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(pads)s)
