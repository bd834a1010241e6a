-- What may keep a send from going out at its time.

-- Whether a suppression that lasts until p_until (null: for ever) is in force at an instant. Everything that
-- reads suppressions calls it.
CREATE OR REPLACE FUNCTION is_in_force(p_until timestamptz, p_at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_until IS NULL OR p_until > p_at;

-- Whether the address of a contact is suppressed at an instant: the address as it is now, because the stored
-- HMAC may be missing or of an old key, or the stored HMAC, which is that of the canonical form even if SQL
-- has entered another spelling. A single select without a definer's rights, so that Postgres inlines it. The
-- planner reads the same from the other side: read_unmailable in plan.sql.
CREATE OR REPLACE FUNCTION is_suppressed(c contacts, p_at timestamptz, pads bytea) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM suppressions x
        WHERE x.address_hmac IN (address_hmac(c.mail_address, pads), c.address_hmac)
            AND is_in_force(x.until, p_at))
$$;

-- Returns the reason why a send must not go out, or null if every gate is open. claim_send and
-- mark_transmitting both call it, and the API shows it. A parked mailbox closes the gate if it is parked
-- beyond the send's time or, if that is later, beyond now. The planner does the same with arrays
-- (find_revoked in sequence_pipelines/planning/engine/revocation.py), except for a pause of all sending:
-- plans go on, because what they place may come after the pause.
CREATE OR REPLACE FUNCTION closed_gate(s sends, pads bytea) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        -- The archive knows the mail, so it went out before, whatever happened to the enrolment's row.
        WHEN EXISTS (SELECT FROM archived_sends a WHERE a.sequence_id = s.sequence_id
            AND a.contact_id = s.contact_id AND a.step_id = s.step_id AND a.round = s.round
            AND a.status NOT IN ('cancelled', 'expired')) THEN 'mailed_before'
        WHEN e.contact_id IS NULL OR e.round <> s.round THEN 'enrolment_removed'
        WHEN e.status <> 'active' THEN 'enrolment_' || e.status
        WHEN c.id IS NULL OR c.deleted_at IS NOT NULL OR NOT c.is_active THEN 'contact_inactive'
        WHEN is_suppressed(c, clock_timestamp(), pads) THEN 'suppressed'
        WHEN c.stopped_at IS NOT NULL THEN 'opt_out_unverified'
        -- A reply stopped the contact while this enrolment was being made.
        WHEN e.enrolled_at < c.reply_stopped_at AND q.reply_stops <> 'sequence' THEN 'enrolment_replied'
        WHEN q.reply_stops <> 'sequence' AND q.deleted_at IS NULL AND EXISTS (
            SELECT FROM company_stops z WHERE z.mail_domain = mail_domain(c.mail_address))
            THEN 'company_stopped'
        WHEN c.hold_until >= s.send_day THEN 'away'
        WHEN st.id IS NULL OR st.deleted_at IS NOT NULL THEN 'step_deleted'
        WHEN q.id IS NULL OR q.deleted_at IS NOT NULL OR NOT q.is_active THEN 'sequence_inactive'
        WHEN m.id IS NULL OR m.deleted_at IS NOT NULL OR NOT m.is_active THEN 'mailbox_inactive'
        WHEN m.parked_until > greatest(s.send_at, clock_timestamp()) THEN 'mailbox_parked'
        WHEN EXISTS (SELECT FROM pauses p WHERE p.resumed_at IS NULL) THEN 'all_paused'
        -- The delay was raised after the follow-up was planned: its date is reached on no clock that counts.
        WHEN e.last_send IS NOT NULL AND s.send_day < e.next_send AND s.send_at < (e.next_send::timestamp
            - make_interval(mins => coalesce(e.last_offset, 0))) AT TIME ZONE 'UTC' THEN 'delay_changed'
    END
    FROM (SELECT) one_row
    LEFT JOIN sequences_contacts e ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id
    LEFT JOIN contacts c ON c.id = s.contact_id
    LEFT JOIN steps st ON st.id = s.step_id
    LEFT JOIN sequences q ON q.id = s.sequence_id
    LEFT JOIN mailboxes m ON m.id = s.mailbox_id
$$;

-- Returns the first second in [earliest, latest] at which a cell of the mailbox's grid is free; null if there
-- is none. The grid has a cell at mailbox_days.grid_from of the window, and every `gap` seconds before and
-- after it. No live send of the mailbox may be nearer than `gap`. Beside a send off the grid the cells
-- move, if more then fit. The planner does the same with arrays: free_cells in
-- sequence_pipelines/planning/engine/capacity.py.
CREATE OR REPLACE FUNCTION next_free_place(
    p_mailbox_id bigint, gap integer, earliest timestamptz, latest timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    WITH bounds AS (
        SELECT ceil(extract(epoch FROM earliest))::bigint AS opens,
            floor(extract(epoch FROM latest))::bigint AS closes,
            coalesce((SELECT extract(epoch FROM d.grid_from)::bigint FROM mailbox_days d
                WHERE d.mailbox_id = p_mailbox_id AND d.grid_from <= latest
                    AND d.send_day BETWEEN latest::date - 3 AND latest::date + 2
                ORDER BY d.grid_from DESC LIMIT 1), 0) AS grid_from
    ), held AS (
        SELECT extract(epoch FROM o.send_at)::bigint AS at FROM sends o
        WHERE o.mailbox_id = p_mailbox_id AND o.status IN ('planned', 'dispatched', 'claimed', 'transmitting')
            AND o.send_at > earliest - make_interval(secs => gap)
            AND o.send_at < latest + make_interval(secs => gap)
    ), stretches AS (
        SELECT greatest(opens, before + gap) AS low, least(closes, after - gap) AS high, opens, closes,
            grid_from
        FROM (SELECT at AS before, lead(at) OVER (ORDER BY at) AS after FROM held
            UNION ALL SELECT NULL, min(at) FROM held) s, bounds
    ), cells AS (
        SELECT low, high, (low > opens OR high < closes) AS beside,
            low + ((grid_from - low) % gap + gap) % gap AS on_grid
        FROM stretches WHERE low <= high
    )
    SELECT to_timestamp(min(first)) FROM (
        SELECT high,
            CASE WHEN beside AND on_grid - low > (high - low) % gap THEN low ELSE on_grid END AS first
        FROM cells) c
    WHERE first <= high
$$;

REVOKE EXECUTE ON FUNCTION is_in_force, is_suppressed, closed_gate, next_free_place
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION is_in_force TO sequence_api, sequence_pipeline, sequence_readonly;
GRANT EXECUTE ON FUNCTION is_suppressed TO sequence_api, sequence_pipeline;
GRANT EXECUTE ON FUNCTION closed_gate TO sequence_api;
