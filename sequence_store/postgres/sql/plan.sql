-- name: lock_planner
-- One plan at a time, whichever day it is for; the transaction holds the lock.
SELECT pg_advisory_xact_lock(7236002)

-- name: give_memory
-- For this transaction: the due contacts of a day are grouped and joined in memory.
SET LOCAL work_mem = '256MB'

-- name: read_last_send_before
-- The last send before this planning day; no older send can still be live.
SELECT send_at FROM sends WHERE send_at < %(before)s ORDER BY send_at DESC LIMIT 1

-- name: cancel_planned
-- Planned rows whose slot is revoked. A row that was dispatched meanwhile stays as it is.
UPDATE sends s SET status = 'cancelled', reason = k.reason
FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[], %(step_ids)s::bigint[],
    %(rounds)s::smallint[], %(reasons)s::text[]) k (sequence_id, contact_id, step_id, round, reason)
WHERE s.sequence_id = k.sequence_id AND s.contact_id = k.contact_id AND s.step_id = k.step_id
    AND s.round = k.round AND s.status = 'planned'
RETURNING s.sequence_id, s.contact_id, s.step_id, s.round

-- name: read_enrolments
-- The enrolments of planned rows.
SELECT e.sequence_id, e.contact_id, e.round, e.status, is_follow_up(e.last_send, e.mailbox_id) AS follow_up
FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[]) k (sequence_id, contact_id)
JOIN sequences_contacts e ON e.sequence_id = k.sequence_id AND e.contact_id = k.contact_id

-- name: read_mailboxes
-- Mailboxes that are not deleted. Times are seconds after midnight, because 24:00 is a valid time in SQL.
SELECT id AS mailbox_id, external_id::text AS external_id, send_limit,
    extract(epoch FROM send_start_time)::integer AS start_seconds,
    extract(epoch FROM send_end_time)::integer AS end_seconds, time_zone, send_days, holiday_calendar,
    min_gap_seconds, max_first_mails, ramp_up_start, ramp_up_daily_increment,
    ramp_up_started - date '1970-01-01' AS ramp_up_started, is_active,
    CASE WHEN parked_until IS NULL THEN 0 ELSE extract(epoch FROM
        greatest(least(parked_until, timestamptz '9999-01-01'), timestamptz '1970-01-01'))
    END::bigint AS parked_until
FROM mailboxes WHERE deleted_at IS NULL ORDER BY id

-- name: read_sequences
-- Sequences that are not deleted.
SELECT id AS sequence_id, is_active, max_new_per_day, priority, reply_stops <> 'sequence' AS obeys_replies
FROM sequences
WHERE deleted_at IS NULL ORDER BY id

-- name: read_steps
-- Live steps, in sixteen large groups.
SELECT string_agg(
    int8send(sequence_id) || int8send(step_number) || int8send(id) || int8send(delay_days), '')
FROM steps WHERE deleted_at IS NULL GROUP BY sequence_id %% 16

-- name: read_routes
-- Which mailboxes a sequence may use, in sixteen large groups.
SELECT string_agg(int8send(sm.sequence_id) || int8send(sm.mailbox_id), '')
FROM sequences_mailboxes sm JOIN mailboxes m ON m.id = sm.mailbox_id AND m.deleted_at IS NULL
GROUP BY sm.sequence_id %% 16

-- name: read_due
-- Enrolments that are due by the planning day, in a few large groups: thousands of small ones cost a third
-- more. Each is three numbers. The last one packs the mailbox (31 bits; a larger id fails), the due day (16
-- bits, days from 1970), the round (15 bits) and whether the next mail is a follow-up (1 bit).
-- PlanRepository.due unpacks it with DUE_MAILBOX_SHIFT = 32, DUE_DAY_SHIFT = 16 and DUE_ROUND_SHIFT = 1.
-- There is no join: steps and unmailable contacts are matched in memory, which no wrong row estimate can
-- slow down.
SELECT current_step::bigint, string_agg(int8send(sequence_id) || int8send(contact_id)
    || int8send((coalesce(mailbox_id, 0)::integer::bigint << 32)
        | ((greatest(next_send, date '1970-01-01') - date '1970-01-01')::bigint << 16)
        | (round::integer << 1) | is_follow_up(last_send, mailbox_id)::integer), '')
FROM sequences_contacts
WHERE status = 'active' AND next_send <= %(day)s
GROUP BY sequence_id %% 16, current_step

-- name: read_reusable_rows
-- Cancelled and expired rows of due enrolments, of any step. They have a reason, as few others do, so that
-- the index sends_with_reason finds them.
SELECT s.sequence_id, string_agg(int8send(s.contact_id) || int8send(s.step_id) || int8send(s.round), '')
FROM sends s
JOIN sequences_contacts e
    ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
WHERE s.reason IS NOT NULL AND s.status IN ('cancelled', 'expired')
    AND e.status = 'active' AND e.next_send <= %(day)s
GROUP BY s.sequence_id

-- name: read_written
-- Run after a plan's rows collided with existing rows: due steps that have a row already. row_is is
-- REUSABLE_ROW (1), MAILED (2: steps can be renumbered) or UNDER_WAY (3: older than the plan's lookback) of
-- planning/engine/eligibility.py. OFFSET 0 makes Postgres look each row up by its key, so that the
-- ledger's size does not matter.
SELECT e.sequence_id,
    string_agg(int8send(e.contact_id) || int8send(st.step_id) || int8send(e.round) || int8send(w.row_is), '')
FROM sequences_contacts e
CROSS JOIN LATERAL next_live_step(e.sequence_id, e.current_step) st
CROSS JOIN LATERAL (
    SELECT CASE WHEN s.status IN ('cancelled', 'expired') THEN 1
        WHEN s.advanced_at IS NOT NULL THEN 2 ELSE 3 END::bigint AS row_is
    FROM sends s
    WHERE s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id AND s.step_id = st.step_id
        AND s.round = e.round
    OFFSET 0) w
WHERE e.status = 'active' AND e.next_send <= %(day)s
GROUP BY e.sequence_id

-- name: read_unmailable
-- Contacts that get no mail. gate is CONTACT_INACTIVE (1), SUPPRESSED (2),
-- INVALID_ADDRESS (3), DELETED (4), OPT_OUT_UNVERIFIED (5) or COMPANY_STOPPED (6) of
-- planning/engine/eligibility.py. The HMAC is computed here for an address that has none yet. The first
-- select reads the index contacts_unmailable.
SELECT gate, string_agg(int8send(id), '') FROM (
    SELECT id, CASE WHEN deleted_at IS NOT NULL THEN 4 WHEN NOT is_active THEN 1 ELSE 3 END::bigint AS gate
    FROM contacts WHERE NOT is_active OR deleted_at IS NOT NULL OR NOT is_valid_address(mail_address)
    UNION ALL
    SELECT c.id, 2 FROM suppressions x JOIN contacts c ON c.address_hmac = x.address_hmac
    WHERE is_in_force(x.until, %(now)s)
    UNION ALL
    SELECT c.id, 2 FROM contacts c WHERE c.address_hmac IS NULL
        AND is_suppressed(c, %(now)s, %(pads)s)
    UNION ALL
    SELECT id, 5 FROM contacts WHERE stopped_at IS NOT NULL
    UNION ALL
    SELECT c.id, 6 FROM (SELECT DISTINCT mail_domain FROM company_stops) z
    JOIN contacts c ON mail_domain(c.mail_address) = z.mail_domain AND c.deleted_at IS NULL) c
GROUP BY gate

-- name: read_refused
-- Due enrolments whose mail was refused for its date: they get only a later one. reason is REFUSED_TODAY (1)
-- or LACKS_SMTPUTF8 (2) of planning/engine/eligibility.py; send_day counts days from 1970-01-01.
SELECT CASE s.reason WHEN 'refused_today' THEN 1 ELSE 2 END::bigint AS reason,
    string_agg(int8send(s.sequence_id) || int8send(s.contact_id) || int8send(s.round)
        || int8send((s.send_day - date '1970-01-01')::bigint), '')
FROM sends s
JOIN sequences_contacts e
    ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
WHERE s.reason IS NOT NULL AND s.status = 'expired' AND s.reason IN ('refused_today', 'relay_lacks_smtputf8')
    AND s.send_day >= %(first_day)s AND e.status = 'active' AND e.next_send <= %(day)s
GROUP BY s.reason

-- name: read_holds
-- Contacts that are or were held: the first and the last date, in days from 1970-01-01.
SELECT id AS contact_id, coalesce(hold_from, hold_until) - date '1970-01-01' AS hold_from,
    hold_until - date '1970-01-01' AS hold_until
FROM contacts WHERE hold_until IS NOT NULL

-- name: end_replied_meanwhile
-- Ends enrolments that were begun while a reply stopped their contact: the stop did not see them.
UPDATE sequences_contacts e SET status = 'replied', status_reason = 'reply', next_send = NULL
FROM contacts c, sequences q
WHERE c.reply_stopped_at > now() - interval '7 days' AND e.contact_id = c.id AND q.id = e.sequence_id
    AND e.status IN ('active', 'paused') AND e.enrolled_at < c.reply_stopped_at
    AND q.reply_stops <> 'sequence'

-- name: hash_new_addresses
-- A batch of contacts whose address has no HMAC yet. Rows that a worker has locked are left to the next
-- batch. An address that is not ASCII is left to store_hmacs: only Python knows its canonical form.
UPDATE contacts SET address_hmac = address_hmac(mail_address, %(pads)s)
WHERE id IN (
    SELECT id FROM contacts
    WHERE address_hmac IS NULL AND octet_length(mail_address) = char_length(mail_address)
    LIMIT %(batch)s FOR UPDATE SKIP LOCKED)

-- name: read_addresses_without_hmac
-- What hash_new_addresses left.
SELECT id, mail_address FROM contacts WHERE address_hmac IS NULL AND id > %(after)s
ORDER BY id LIMIT %(batch)s

-- name: store_hmacs
-- Of addresses in canonical form. A contact whose address was changed meanwhile has none again.
UPDATE contacts c SET address_hmac = address_hmac(k.canonical, %(pads)s)
FROM unnest(%(ids)s::bigint[], %(addresses)s::text[], %(canonical)s::text[]) k (id, address, canonical)
WHERE c.id = k.id AND c.mail_address = k.address AND c.address_hmac IS NULL

-- name: find_next_steps
-- For enrolments whose due step was mailed already: the next step that was not (0: none is left). row_is is
-- REUSABLE_ROW (1) if the step has a cancelled or expired row, else 0.
SELECT k.sequence_id, k.contact_id, coalesce(n.step_id, 0) AS step_id,
    coalesce(n.step_number, 0) AS step_number, coalesce(n.has_row, false)::integer AS row_is
FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[]) k (sequence_id, contact_id)
JOIN sequences_contacts e ON e.sequence_id = k.sequence_id AND e.contact_id = k.contact_id
LEFT JOIN LATERAL next_unmailed_step(e.sequence_id, e.contact_id, e.round, e.current_step) n ON true

-- name: complete_enrolments
-- Completes enrolments that have no step left.
UPDATE sequences_contacts e SET status = 'completed', next_send = NULL
FROM unnest(%(sequence_ids)s::bigint[], %(contact_ids)s::bigint[]) k (sequence_id, contact_id)
WHERE e.sequence_id = k.sequence_id AND e.contact_id = k.contact_id AND e.status = 'active'

-- name: read_rows
-- Every row that counts against a limit of today's windows, even if the windows were elsewhere when it was
-- planned, or that is nearer to them than the gap; and every row that is under way. None can be older than
-- `since`. The last number packs the round (from bit 3) and three bits; PlanRepository.rows unpacks it with
-- ROW_ROUND_SHIFT = 3, ROW_PLANNED_BIT = 0, ROW_UNDER_WAY_BIT = 1 and ROW_TODAY_BIT = 2.
SELECT mailbox_id, (send_day - date '1970-01-01')::bigint,
    string_agg(int8send(date_part('epoch', send_at)::bigint)
    || int8send(sequence_id) || int8send(contact_id) || int8send(step_id)
    || int8send((round::integer << 3)
        | (status = 'planned')::integer
        | ((status IN ('planned', 'dispatched', 'claimed', 'transmitting')
            OR advanced_at IS NULL)::integer << 1)
        | ((status IN ('planned', 'dispatched', 'claimed', 'transmitting')
            OR plan_day = %(day)s)::integer << 2)), '')
FROM sends
WHERE send_at >= %(since)s AND status NOT IN ('cancelled', 'expired')
    AND (send_at >= %(earliest)s OR send_day >= %(first_day)s OR advanced_at IS NULL)
GROUP BY mailbox_id, send_day

-- name: count_first_mails
-- First mails of this planning day by sequence and mailbox, which max_new_per_day and max_first_mails
-- bound. A mail is a first mail if no other step of the round was sent; until the mail is advanced, its
-- enrolment tells that too.
SELECT s.sequence_id, s.mailbox_id, count(*) AS first_mails
FROM sends s
WHERE s.send_at >= %(since)s AND s.plan_day = %(day)s AND s.status NOT IN ('cancelled', 'expired')
    AND (s.sequence_id = ANY (%(sequence_ids)s) OR s.mailbox_id = ANY (%(mailbox_ids)s))
    AND NOT EXISTS (
        SELECT FROM sends b WHERE b.sequence_id = s.sequence_id AND b.contact_id = s.contact_id
            AND b.round = s.round AND b.step_id <> s.step_id AND b.status IN ('sent', 'unknown'))
    AND NOT (s.advanced_at IS NULL AND EXISTS (
        SELECT FROM sequences_contacts e WHERE e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id
            AND e.round = s.round AND is_follow_up(e.last_send, e.mailbox_id)))
GROUP BY s.sequence_id, s.mailbox_id

-- name: copy_sends
-- New rows, in binary format; their status is planned.
COPY sends (sequence_id, contact_id, step_id, round, mailbox_id,
    due_day, plan_day, send_day, send_at, not_after)
FROM STDIN (FORMAT binary)

-- name: stage_reactivated
-- COPY writes here the reusable rows that get a slot again.
CREATE TEMP TABLE reactivated (
    sequence_id bigint, contact_id bigint, step_id bigint, round smallint, mailbox_id bigint,
    due_day date, plan_day date, send_day date, send_at timestamptz, not_after timestamptz
) ON COMMIT DROP

-- name: copy_reactivated
-- In binary format, as the new rows.
COPY reactivated FROM STDIN (FORMAT binary)

-- name: reactivate_sends
-- Reusable rows become planned with a higher attempt. A row that is live or spent stays as it is.
UPDATE sends s SET mailbox_id = r.mailbox_id, due_day = r.due_day, plan_day = r.plan_day,
    send_day = r.send_day, send_at = r.send_at, not_after = r.not_after, status = 'planned',
    reason = NULL, attempt = s.attempt + 1,
    dispatched_at = NULL, claim = NULL, lease_until = NULL, transmitting_at = NULL, finished_at = NULL
FROM reactivated r
WHERE s.sequence_id = r.sequence_id AND s.contact_id = r.contact_id AND s.step_id = r.step_id
    AND s.round = r.round AND s.status IN ('cancelled', 'expired')

-- name: allow_days
-- The day's limits, as this plan computed them, for the gate before DATA. Days are counted from 1970-01-01.
INSERT INTO mailbox_days AS d (mailbox_id, send_day, allowed)
SELECT mailbox_id, date '1970-01-01' + send_day, allowed
FROM unnest(%(mailbox_ids)s::bigint[], %(send_days)s::integer[], %(allowed)s::integer[])
    w (mailbox_id, send_day, allowed)
ON CONFLICT (mailbox_id, send_day) DO UPDATE SET allowed = excluded.allowed
    WHERE d.allowed <> excluded.allowed

-- name: read_day_counters
-- What is left of each mailbox's day, for the Valkey counters.
SELECT mailbox_id, send_day, greatest(0, allowed - used) FROM mailbox_days
WHERE send_day BETWEEN %(day)s::date - 1 AND %(day)s::date + 1 ORDER BY mailbox_id, send_day

-- name: stage_deferrals
-- COPY writes here the deferred contacts; `reason` is a position in the list of reasons.
CREATE TEMP TABLE staged_deferrals (sequence_id bigint, contact_id bigint, reason smallint) ON COMMIT DROP

-- name: copy_staged_deferrals
-- One row for each deferred contact.
COPY staged_deferrals FROM STDIN (FORMAT binary)

-- name: stage_unknown_deferrals
-- A contact whose last mail has an unknown outcome is deferred until the outcome is settled.
INSERT INTO staged_deferrals
SELECT DISTINCT e.sequence_id, e.contact_id, array_position(%(reasons)s::text[], 'unknown_outcome')
FROM sends s
JOIN sequences_contacts e
    ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id AND e.round = s.round
WHERE s.send_at >= %(since)s AND s.status = 'unknown' AND s.advanced_at IS NULL
    AND e.status = 'active' AND e.next_send <= %(day)s

-- name: keep_deferrals
-- Replaces the deferrals by the staged ones. Nothing else writes them meanwhile: the planner holds its lock.
MERGE INTO plan_deferrals p
USING (SELECT sequence_id, contact_id, (%(reasons)s::text[])[reason] AS reason FROM staged_deferrals) d
ON d.sequence_id = p.sequence_id AND d.contact_id = p.contact_id
WHEN NOT MATCHED BY SOURCE THEN DELETE
WHEN MATCHED AND (p.plan_day <> %(day)s OR p.reason <> d.reason)
    THEN UPDATE SET plan_day = %(day)s, reason = d.reason
WHEN NOT MATCHED THEN INSERT (sequence_id, contact_id, plan_day, reason)
    VALUES (d.sequence_id, d.contact_id, %(day)s, d.reason)

-- name: has_sends
-- Whether any send was planned on this planning day, also one that was cancelled or expired.
SELECT EXISTS (
    SELECT FROM sends WHERE send_at >= %(begins)s AND send_at < %(ends)s AND plan_day = %(day)s)

-- name: count_day
-- The sends that were planned on one planning day, by status.
SELECT status, count(*) FROM sends
WHERE send_at >= %(begins)s AND send_at < %(ends)s AND plan_day = %(day)s GROUP BY status

-- name: read_day
-- The sends that were planned on one planning day, a group a mailbox and status. Columns are packed as in
-- read_rows, without flags.
SELECT mailbox_id, array_position(%(statuses)s::text[], status)::bigint,
    string_agg(int8send(sequence_id) || int8send(contact_id) || int8send(step_id) || int8send(round)
    || int8send(due_day - date '1970-01-01') || int8send(send_day - date '1970-01-01')
    || int8send(date_part('epoch', send_at)::bigint) || int8send(date_part('epoch', not_after)::bigint), '')
FROM sends
WHERE send_at >= %(begins)s AND send_at < %(ends)s AND plan_day = %(day)s GROUP BY mailbox_id, status

-- name: report_day
-- The sends that fell due on one day, by planning day and status. The second select takes off the revoked
-- sends of deferred contacts, which are reported as deferred.
SELECT plan_day, status, sum(sends)::bigint AS sends FROM (
    SELECT plan_day, status, count(*) AS sends FROM sends
    WHERE send_at >= %(since)s AND due_day = %(day)s GROUP BY plan_day, status
    UNION ALL
    SELECT s.plan_day, s.status, -count(*) FROM plan_deferrals p
    JOIN sequences_contacts e ON e.sequence_id = p.sequence_id AND e.contact_id = p.contact_id
    JOIN sends s ON s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id AND s.round = e.round
        AND s.due_day = e.next_send
    WHERE s.reason IS NOT NULL AND s.status IN ('cancelled', 'expired') AND s.send_at >= %(since)s
        AND s.due_day = %(day)s
    GROUP BY s.plan_day, s.status) reported
GROUP BY plan_day, status HAVING sum(sends) > 0 ORDER BY plan_day, status

-- name: find_bad_sequences
-- Active sequences that cannot send: they have no live step, or no active mailbox.
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
