-- name: wait_a_second_at_most
-- The recipient waits for the page; recording the event must not delay it.
SELECT set_config('statement_timeout', '1000', true)

-- name: record_link_event
-- At most `most` of a kind and mail, so that fetching one link a million times does not fill the table.
SELECT record_link(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(kind)s, %(place)s::bigint,
    %(machine)s, %(most)s)

-- name: unsubscribe
SELECT unsubscribe(%(sequence_id)s, %(contact_id)s, %(step_id)s, %(round)s, %(pads)s)
