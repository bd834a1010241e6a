-- name: lock_planner
-- One plan at a time, whichever day's run makes it; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(7236002)

-- name: give_memory
-- For this transaction: the due contacts of a day are grouped and joined in memory.
SET LOCAL work_mem = '256MB'

-- name: read_last_send_before
-- The last plan before this planning day ended with about this send: nothing older can still be live.
SELECT send_at FROM sends WHERE send_at < %(before)s ORDER BY send_at DESC LIMIT 1

-- name: cancel_planned
-- Planned rows whose place does not hold any more; what was dispatched meanwhile stays as it is.
UPDATE sends s SET status = 'cancelled', reason = k.reason
FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[], %(step_ids)s::bigint[], %(rounds)s::smallint[],
    %(reasons)s::text[]) k (sequence_id, contact_id, step_id, round, reason)
WHERE s.sequence_id = k.sequence_id AND s.contact_id = k.contact_id AND s.step_id = k.step_id
    AND s.round = k.round AND s.status = 'planned'
RETURNING s.sequence_id, s.contact_id, s.step_id, s.round

-- name: read_enrolments
-- Where the enrolments of planned rows stand.
SELECT e.sequence_id, e.contact_id, e.round, e.status, (e.last_send IS NOT NULL OR e.mailbox_id IS NOT NULL) AS follow_up
FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[]) k (sequence_id, contact_id)
JOIN sequences_contacts e ON e.sequence_id = k.sequence_id AND e.contact_id = k.contact_id

-- name: read_mailboxes
-- Live mailboxes with what planning needs of them; times as seconds after midnight, since 24:00 is a time here.
SELECT id AS mailbox_id, external_id::text AS external_id, send_limit, extract(epoch FROM send_start_time)::integer AS start_seconds,
    extract(epoch FROM send_end_time)::integer AS end_seconds, time_zone, send_days, holiday_calendar,
    min_gap_seconds, max_first_mails, ramp_up_start, ramp_up_daily_increment,
    ramp_up_started - date '1970-01-01' AS ramp_up_started, is_active,
    CASE WHEN parked_until IS NULL THEN 0 ELSE extract(epoch FROM
        greatest(least(parked_until, timestamptz '9999-01-01'), timestamptz '1970-01-01')) END::bigint AS parked_until
FROM mailboxes WHERE deleted_at IS NULL ORDER BY id

-- name: read_sequences
-- Live sequences, and whether they may mail.
SELECT id AS sequence_id, is_active, max_new_per_day, priority FROM sequences WHERE deleted_at IS NULL ORDER BY id

-- name: read_steps
-- Live steps, in a few large groups.
SELECT string_agg(
    int8send(sequence_id) || int8send(step_number) || int8send(id) || int8send(delay_days), '')
FROM steps WHERE deleted_at IS NULL GROUP BY sequence_id %% 16

-- name: read_routes
-- Which mailboxes a sequence may use, in a few large groups.
SELECT string_agg(int8send(sm.sequence_id) || int8send(sm.mailbox_id), '')
FROM sequences_mailboxes sm JOIN mailboxes m ON m.id = sm.mailbox_id AND m.deleted_at IS NULL
GROUP BY sm.sequence_id %% 16

-- name: read_due
-- Enrolments whose step is due by the planning day, in a few large groups: thousands of small ones cost a third more.
-- Three numbers each; the last one packs the mailbox (31 bits, or this fails), the due day, the round, and whether a
-- mail went before. No join: the steps and the few contacts that get no mail are matched in memory, where nothing is
-- estimated too low.
SELECT current_step::bigint, string_agg(int8send(sequence_id) || int8send(contact_id)
    || int8send((coalesce(mailbox_id, 0)::integer::bigint << 32)
        | ((greatest(next_send, date '1970-01-01') - date '1970-01-01')::bigint << 16)
        | (round::integer << 1) | (last_send IS NOT NULL OR mailbox_id IS NOT NULL)::integer), '')
FROM sequences_contacts
WHERE status = 'active' AND next_send <= %(day)s
GROUP BY sequence_id %% 16, current_step

-- name: read_reusable_rows
-- Rows of due enrolments that were cancelled or expired, whichever their step: they say why, as few others do, and
-- so an index holds them.
SELECT s.sequence_id, string_agg(int8send(s.contact_id) || int8send(s.step_id) || int8send(s.round), '')
FROM sends s
JOIN sequences_contacts e ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
WHERE s.reason IS NOT NULL AND s.status IN ('cancelled', 'expired') AND e.status = 'active' AND e.next_send <= %(day)s
GROUP BY s.sequence_id

-- name: read_written
-- Asked where the ledger had a row that nobody expected: due steps that the ledger has a row of already: 1 an open one,
-- 2 one that was mailed (steps can be renumbered), 3 one under way that nobody looked back far enough for. Looked up by the key, one by one, whatever the optimizer thinks: the ledger's size must cost nothing.
SELECT e.sequence_id, string_agg(int8send(e.contact_id) || int8send(st.id) || int8send(e.round) || int8send(w.row_is), '')
FROM sequences_contacts e
CROSS JOIN LATERAL (
    SELECT st.id FROM steps st
    WHERE st.sequence_id = e.sequence_id AND st.step_number >= e.current_step AND st.deleted_at IS NULL
    ORDER BY st.step_number LIMIT 1) st
CROSS JOIN LATERAL (
    SELECT CASE WHEN s.status IN ('cancelled', 'expired') THEN 1 WHEN s.advanced_at IS NOT NULL THEN 2 ELSE 3 END::bigint AS row_is
    FROM sends s
    WHERE s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id AND s.step_id = st.id AND s.round = e.round
    OFFSET 0) w
WHERE e.status = 'active' AND e.next_send <= %(day)s
GROUP BY e.sequence_id

-- name: read_unmailable
-- Contacts that get no mail, by reason: 1 inactive, 2 suppressed, 3 no valid address, 4 deleted. An address that
-- was not hashed yet is hashed here.
SELECT gate, string_agg(int8send(id), '') FROM (
    SELECT id, CASE WHEN deleted_at IS NOT NULL THEN 4 WHEN NOT is_active THEN 1 ELSE 3 END::bigint AS gate
    FROM contacts WHERE NOT is_active OR deleted_at IS NOT NULL
        OR mail_address !~ '^[^@[:space:]<>,;]+@[^@[:space:]<>,;]+$'
    UNION ALL
    SELECT c.id, 2 FROM suppressions x JOIN contacts c ON c.address_hmac = x.address_hmac
    UNION ALL
    SELECT c.id, 2 FROM contacts c WHERE c.address_hmac IS NULL AND EXISTS (
        SELECT FROM suppressions x WHERE x.address_hmac = address_hmac(c.mail_address, %(pads)s))) c
GROUP BY gate

-- name: hash_new_addresses
-- A batch of the contacts whose address has no HMAC yet; those that a worker holds are left to the next one.
UPDATE contacts SET address_hmac = address_hmac(mail_address, %(pads)s)
WHERE id IN (SELECT id FROM contacts WHERE address_hmac IS NULL LIMIT %(batch)s FOR UPDATE SKIP LOCKED)

-- name: find_next_steps
-- Of enrolments whose due step was mailed already: the lowest live step after it whose row is absent or open, 0 with
-- none; and whether it has an open row.
SELECT k.sequence_id, k.contact_id, coalesce(n.step_id, 0) AS step_id, coalesce(n.step_number, 0) AS step_number,
    coalesce(n.row_is, 0) AS row_is
FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[]) k (sequence_id, contact_id)
JOIN sequences_contacts e ON e.sequence_id = k.sequence_id AND e.contact_id = k.contact_id
LEFT JOIN LATERAL (
    SELECT st.id AS step_id, st.step_number, (s.status IS NOT NULL)::integer AS row_is
    FROM steps st
    LEFT JOIN sends s ON s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id AND s.step_id = st.id
        AND s.round = e.round
    WHERE st.sequence_id = e.sequence_id AND st.step_number >= e.current_step AND st.deleted_at IS NULL
        AND (s.status IS NULL OR s.status IN ('cancelled', 'expired'))
    ORDER BY st.step_number LIMIT 1) n ON true

-- name: complete_enrolments
-- Enrolments that have no step left.
UPDATE sequences_contacts e SET status = 'completed', next_send = NULL
FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[]) k (sequence_id, contact_id)
WHERE e.sequence_id = k.sequence_id AND e.contact_id = k.contact_id AND e.status = 'active'

-- name: read_rows
-- Every row that counts against a limit of today's windows, wherever these were when it was planned, or lies too near to
-- them; and every row that is under way. None can be older than `since`. The last column packs the round and the bits
-- planned, under way, today.
SELECT mailbox_id, (send_day - date '1970-01-01')::bigint, string_agg(int8send(date_part('epoch', send_at)::bigint)
    || int8send(sequence_id) || int8send(contact_id) || int8send(step_id)
    || int8send((round::integer << 3)
        | (status = 'planned')::integer
        | ((status IN ('planned', 'dispatched', 'claimed', 'transmitting') OR advanced_at IS NULL)::integer << 1)
        | ((status IN ('planned', 'dispatched', 'claimed', 'transmitting') OR plan_day = %(day)s)::integer << 2)), '')
FROM sends
WHERE send_at >= %(since)s AND status NOT IN ('cancelled', 'expired')
    AND (send_at >= %(earliest)s OR send_day >= %(first_day)s OR advanced_at IS NULL)
GROUP BY mailbox_id, send_day

-- name: count_first_mails
-- First mails of this planning day by sequence and mailbox: what max_new_per_day and max_first_mails bound. Until a mail is
-- applied its enrolment says whether one went before it, as it did to the plan; then the ledger does.
SELECT s.sequence_id, s.mailbox_id, count(*) AS first_mails
FROM sends s
WHERE s.send_at >= %(since)s AND s.plan_day = %(day)s AND s.status NOT IN ('cancelled', 'expired')
    AND (s.sequence_id = ANY (%(sequence_ids)s) OR s.mailbox_id = ANY (%(mailbox_ids)s))
    AND NOT EXISTS (
        SELECT FROM sends b WHERE b.sequence_id = s.sequence_id AND b.contact_id = s.contact_id
            AND b.round = s.round AND b.step_id <> s.step_id AND b.status IN ('sent', 'unknown'))
    AND NOT (s.advanced_at IS NULL AND EXISTS (
        SELECT FROM sequences_contacts e WHERE e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id
            AND e.round = s.round AND (e.last_send IS NOT NULL OR e.mailbox_id IS NOT NULL)))
GROUP BY s.sequence_id, s.mailbox_id

-- name: copy_sends
-- New rows, binary; they are planned.
COPY sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at, not_after)
FROM STDIN (FORMAT binary)

-- name: stage_reactivated
-- Where COPY writes the open rows that get a place again.
CREATE TEMP TABLE reactivated (
    sequence_id bigint, contact_id bigint, step_id bigint, round smallint, mailbox_id bigint,
    due_day date, plan_day date, send_day date, send_at timestamptz, not_after timestamptz
) ON COMMIT DROP

-- name: copy_reactivated
-- Binary, as the new ones.
COPY reactivated FROM STDIN (FORMAT binary)

-- name: reactivate_sends
-- Open rows become planned with a higher attempt; a row that is live or spent stays as it is.
UPDATE sends s SET mailbox_id = r.mailbox_id, due_day = r.due_day, plan_day = r.plan_day, send_day = r.send_day,
    send_at = r.send_at, not_after = r.not_after, status = 'planned', reason = NULL, attempt = s.attempt + 1,
    dispatched_at = NULL, claim = NULL, lease_until = NULL, transmitting_at = NULL, finished_at = NULL
FROM reactivated r
WHERE s.sequence_id = r.sequence_id AND s.contact_id = r.contact_id AND s.step_id = r.step_id
    AND s.round = r.round AND s.status IN ('cancelled', 'expired')

-- name: allow_days
-- The day's limits as this plan knows them, for the gate before DATA; days counted from 1970-01-01.
INSERT INTO mailbox_days AS d (mailbox_id, send_day, allowed)
SELECT mailbox_id, date '1970-01-01' + send_day, allowed
FROM unnest(%(mailbox_ids)s::bigint[], %(send_days)s::integer[], %(allowed)s::integer[])
    w (mailbox_id, send_day, allowed)
ON CONFLICT (mailbox_id, send_day) DO UPDATE SET allowed = excluded.allowed WHERE d.allowed <> excluded.allowed

-- name: read_day_counters
-- What each mailbox's day has left, for the counters that spare a connection.
SELECT mailbox_id, send_day, greatest(0, allowed - used) FROM mailbox_days
WHERE send_day BETWEEN %(day)s::date - 1 AND %(day)s::date + 1 ORDER BY mailbox_id, send_day

-- name: stage_deferrals
-- Where COPY writes who waits; `reason` is a place in the list of reasons.
CREATE TEMP TABLE staged_deferrals (sequence_id bigint, contact_id bigint, reason smallint) ON COMMIT DROP

-- name: copy_staged_deferrals
-- One row a contact that waits.
COPY staged_deferrals FROM STDIN (FORMAT binary)

-- name: stage_unknown_deferrals
-- A contact whose last mail has an unknown outcome waits for its settlement.
INSERT INTO staged_deferrals
SELECT DISTINCT e.sequence_id, e.contact_id, array_position(%(reasons)s::text[], 'unknown_outcome')
FROM sends s
JOIN sequences_contacts e ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
WHERE s.send_at >= %(since)s AND s.status = 'unknown' AND s.advanced_at IS NULL
    AND e.status = 'active' AND e.next_send <= %(day)s

-- name: keep_deferrals
-- Who waits, with today's reason; who has a place now, or has ended, waits no longer. Nobody else enters any: the planner
-- has its lock.
MERGE INTO plan_deferrals p
USING (SELECT sequence_id, contact_id, (%(reasons)s::text[])[reason] AS reason FROM staged_deferrals) d
ON d.sequence_id = p.sequence_id AND d.contact_id = p.contact_id
WHEN NOT MATCHED BY SOURCE THEN DELETE
WHEN MATCHED AND (p.plan_day <> %(day)s OR p.reason <> d.reason) THEN UPDATE SET plan_day = %(day)s, reason = d.reason
WHEN NOT MATCHED THEN INSERT (sequence_id, contact_id, plan_day, reason)
    VALUES (d.sequence_id, d.contact_id, %(day)s, d.reason)

-- name: report_day
-- What became of the enrolments that fell due on one day: their sends by planning day and status. Who waits is told
-- among those that wait, and not with the place that was taken back: few rows, found as open ones are.
SELECT plan_day, status, sum(sends)::bigint AS sends FROM (
    SELECT plan_day, status, count(*) AS sends FROM sends
    WHERE send_at >= %(since)s AND due_day = %(day)s GROUP BY plan_day, status
    UNION ALL
    SELECT s.plan_day, s.status, -count(*) FROM plan_deferrals p
    JOIN sequences_contacts e ON e.sequence_id = p.sequence_id AND e.contact_id = p.contact_id
    JOIN sends s ON s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id AND s.round = e.round
        AND s.due_day = e.next_send
    WHERE s.reason IS NOT NULL AND s.status IN ('cancelled', 'expired') AND s.send_at >= %(since)s AND s.due_day = %(day)s
    GROUP BY s.plan_day, s.status) told
GROUP BY plan_day, status HAVING sum(sends) > 0 ORDER BY plan_day, status

-- name: find_bad_sequences
-- Active sequences that cannot mail anybody: without a live step, or without a mailbox.
SELECT q.id AS sequence_id, q.external_id::text AS external_id,
    NOT EXISTS (SELECT FROM steps s WHERE s.sequence_id = q.id AND s.deleted_at IS NULL) AS without_steps,
    NOT EXISTS (SELECT FROM sequences_mailboxes sm JOIN mailboxes m ON m.id = sm.mailbox_id
        AND m.deleted_at IS NULL AND m.is_active WHERE sm.sequence_id = q.id) AS without_mailboxes
FROM sequences q
WHERE q.deleted_at IS NULL AND q.is_active AND (
    NOT EXISTS (SELECT FROM steps s WHERE s.sequence_id = q.id AND s.deleted_at IS NULL)
    OR NOT EXISTS (SELECT FROM sequences_mailboxes sm JOIN mailboxes m ON m.id = sm.mailbox_id
        AND m.deleted_at IS NULL AND m.is_active WHERE sm.sequence_id = q.id))
ORDER BY q.id LIMIT 100
