-- The feed: its order, and what the feed says of each mail and day (docs/outcomes.md).

-- The name of a kind in the feed. Kinds that are not listed keep the name under which they are stored.
CREATE OR REPLACE FUNCTION feed_kind(p_kind text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_kind
    WHEN 'bounce' THEN 'bounced'
    WHEN 'hard_failed' THEN 'bounced'
    WHEN 'soft_bounce' THEN 'soft_bounced'
    WHEN 'complaint' THEN 'complained'
    WHEN 'reply' THEN 'replied'
    WHEN 'auto_reply' THEN 'auto_replied'
    WHEN 'opt_out' THEN 'opted_out'
    ELSE p_kind END;

-- What the feed shows of an event's detail: words, codes and numbers. A text that a person or a server wrote
-- stays in the database.
CREATE OR REPLACE FUNCTION feed_detail(p_detail jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(jsonb_object_agg(d.key, d.value), '{}') FROM jsonb_each(p_detail) d
    WHERE d.key IN ('code', 'enhanced_code', 'fault', 'link', 'attempt', 'until', 'as', 'reason',
            'webhook_id')
        AND d.value #>> '{}' !~ '@' AND length(d.value #>> '{}') <= 100);

-- Gives positions to the events that are committed and have none, at most p_most of them, and applies them to
-- mail_outcomes and outcome_days in the same transaction. One caller at a time: the advisory lock makes the
-- positions without gaps and in an order that never changes, because the next caller sees what this one
-- committed. It waits for no transaction: an event that is committed an hour after it was written gets its
-- position then. Within a batch the order is that of the ids, and events of one contact whose writers hold
-- its lock have ids in the order in which they happened.
--
-- The verdict on a link that was followed may still change for p_hold (record_link), so such an event and the
-- later ones of its contact wait that long.
--
-- Returns how many events got a position; null: another caller is at it.
--
-- A program calls it for weeks: a plan that was kept from the days of small tables would read whole tables.
CREATE OR REPLACE FUNCTION sequence_events(p_most integer, p_hold interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    ids bigint[];
    first bigint;
    enrolled jsonb;
    before mail_outcomes[];
    after mail_outcomes[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(72370) THEN RETURN NULL; END IF;
    WITH waiting AS MATERIALIZED (
        SELECT v.id, v.contact_id, v.kind, v.at FROM send_events v WHERE v.position IS NULL
        ORDER BY v.id LIMIT p_most
    ), held AS (
        SELECT w.contact_id, min(w.id) AS id FROM waiting w
        WHERE w.kind IN ('opened', 'clicked')
            AND w.at > clock_timestamp() - p_hold AND w.at <= clock_timestamp()
        GROUP BY w.contact_id
    )
    SELECT array_agg(w.id ORDER BY w.id) INTO ids
    FROM waiting w LEFT JOIN held h ON h.contact_id = w.contact_id
    WHERE h.id IS NULL OR w.id < h.id;
    IF ids IS NULL THEN RETURN 0; END IF;

    SELECT f.last_position INTO first FROM feed f FOR UPDATE;
    UPDATE send_events v SET position = first + k.n
    FROM unnest(ids) WITH ORDINALITY k (id, n) WHERE v.id = k.id;
    UPDATE feed SET last_position = first + cardinality(ids);

    SELECT jsonb_agg(jsonb_build_object('sequence_id', t.sequence_id, 'contact_id', t.contact_id,
        'round', t.round)) INTO enrolled
    FROM (SELECT DISTINCT v.sequence_id, v.contact_id, v.round FROM send_events v
        WHERE v.id = ANY (ids) AND v.sequence_id IS NOT NULL AND v.contact_id IS NOT NULL
            AND v.step_id IS NOT NULL AND v.round IS NOT NULL) t;
    IF enrolled IS NULL THEN RETURN cardinality(ids); END IF;
    before := outcomes_of_enrolments(enrolled);

    INSERT INTO mail_outcomes AS o (sequence_id, contact_id, step_id, round, mailbox_id, send_day, outcome,
        finished_at, first_opened_at, first_clicked_at, machine_opened_at, machine_clicked_at, opens, clicks,
        machine_opens, machine_clicks, replied_at, auto_replied_at, hard_bounced_at, soft_bounced_at,
        complained_at, unsubscribed_at, position, changed_at)
    SELECT e.sequence_id, e.contact_id, e.step_id, e.round, l.mailbox_id, l.send_day, l.outcome,
        l.finished_at, e.first_opened_at, e.first_clicked_at, e.machine_opened_at, e.machine_clicked_at,
        e.opens, e.clicks, e.machine_opens, e.machine_clicks, e.replied_at, e.auto_replied_at,
        e.hard_bounced_at, e.soft_bounced_at, e.complained_at, e.unsubscribed_at, e.position,
        clock_timestamp()
    FROM (
        SELECT v.sequence_id, v.contact_id, v.step_id, v.round, max(v.position) AS position,
            min(v.at) FILTER (WHERE v.kind = 'opened' AND v.machine IS NOT TRUE) AS first_opened_at,
            min(v.at) FILTER (WHERE v.kind = 'clicked' AND v.machine IS NOT TRUE) AS first_clicked_at,
            min(v.at) FILTER (WHERE v.kind = 'opened' AND v.machine) AS machine_opened_at,
            min(v.at) FILTER (WHERE v.kind = 'clicked' AND v.machine) AS machine_clicked_at,
            count(*) FILTER (WHERE v.kind = 'opened' AND v.machine IS NOT TRUE) AS opens,
            count(*) FILTER (WHERE v.kind = 'clicked' AND v.machine IS NOT TRUE) AS clicks,
            count(*) FILTER (WHERE v.kind = 'opened' AND v.machine) AS machine_opens,
            count(*) FILTER (WHERE v.kind = 'clicked' AND v.machine) AS machine_clicks,
            min(v.at) FILTER (WHERE v.kind = 'reply') AS replied_at,
            min(v.at) FILTER (WHERE v.kind = 'auto_reply') AS auto_replied_at,
            min(v.at) FILTER (WHERE v.kind IN ('bounce', 'hard_failed')) AS hard_bounced_at,
            min(v.at) FILTER (WHERE v.kind = 'soft_bounce') AS soft_bounced_at,
            min(v.at) FILTER (WHERE v.kind = 'complaint') AS complained_at,
            min(v.at) FILTER (WHERE v.kind = 'unsubscribed') AS unsubscribed_at
        FROM send_events v
        WHERE v.id = ANY (ids) AND v.sequence_id IS NOT NULL AND v.contact_id IS NOT NULL
            AND v.step_id IS NOT NULL AND v.round IS NOT NULL
        GROUP BY 1, 2, 3, 4) e
    LEFT JOIN LATERAL (
        SELECT s.mailbox_id, s.send_day,
            CASE WHEN s.status IN ('sent', 'hard_failed', 'unknown') THEN s.status END AS outcome,
            coalesce(s.finished_at, s.transmitting_at, s.send_at) AS finished_at
        FROM sends s WHERE s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id
            AND s.step_id = e.step_id AND s.round = e.round
        UNION ALL
        SELECT s.mailbox_id, s.send_day,
            CASE WHEN s.status IN ('sent', 'hard_failed', 'unknown') THEN s.status END,
            coalesce(s.finished_at, s.send_at)
        FROM archived_sends s WHERE s.sequence_id = e.sequence_id AND s.contact_id = e.contact_id
            AND s.step_id = e.step_id AND s.round = e.round
        LIMIT 1) l ON true
    ON CONFLICT (sequence_id, contact_id, step_id, round) DO UPDATE SET
        mailbox_id = excluded.mailbox_id, send_day = excluded.send_day, outcome = excluded.outcome,
        finished_at = excluded.finished_at,
        first_opened_at = least(o.first_opened_at, excluded.first_opened_at),
        first_clicked_at = least(o.first_clicked_at, excluded.first_clicked_at),
        machine_opened_at = least(o.machine_opened_at, excluded.machine_opened_at),
        machine_clicked_at = least(o.machine_clicked_at, excluded.machine_clicked_at),
        opens = o.opens + excluded.opens, clicks = o.clicks + excluded.clicks,
        machine_opens = o.machine_opens + excluded.machine_opens,
        machine_clicks = o.machine_clicks + excluded.machine_clicks,
        replied_at = least(o.replied_at, excluded.replied_at),
        auto_replied_at = least(o.auto_replied_at, excluded.auto_replied_at),
        hard_bounced_at = least(o.hard_bounced_at, excluded.hard_bounced_at),
        soft_bounced_at = least(o.soft_bounced_at, excluded.soft_bounced_at),
        complained_at = least(o.complained_at, excluded.complained_at),
        unsubscribed_at = least(o.unsubscribed_at, excluded.unsubscribed_at),
        position = greatest(o.position, excluded.position), changed_at = excluded.changed_at;

    -- The first mail of an enrolment stands for the enrolment: its reply counts on the day of that mail.
    UPDATE mail_outcomes o SET is_first = f.is_first, enrolment_replied_at = f.replied_at,
        changed_at = clock_timestamp()
    FROM (
        SELECT m.sequence_id, m.contact_id, m.step_id, m.round,
            coalesce(m.outcome IN ('sent', 'unknown'), false) AND row_number() OVER (
                PARTITION BY m.sequence_id, m.contact_id, m.round
                ORDER BY coalesce(m.outcome IN ('sent', 'unknown'), false) DESC, m.finished_at, m.step_id
            ) = 1 AS is_first,
            min(m.replied_at) OVER (PARTITION BY m.sequence_id, m.contact_id, m.round) AS replied_at
        FROM unnest(outcomes_of_enrolments(enrolled)) m) f
    WHERE o.sequence_id = f.sequence_id AND o.contact_id = f.contact_id AND o.step_id = f.step_id
        AND o.round = f.round
        AND (o.is_first, o.enrolment_replied_at) IS DISTINCT FROM (f.is_first, f.replied_at);

    after := outcomes_of_enrolments(enrolled);
    INSERT INTO outcome_days AS d (grain, send_day, sequence_id, step_id, mailbox_id, mails, sent, unknown,
        hard_failed, opened, clicked, machine_opened, machine_clicked, replied, bounced, complained,
        unsubscribed, enrolments, enrolments_replied)
    SELECT g.grain, g.day, g.sequence_id, g.step_id, g.mailbox_id,
        sum(m.sign * (c.mailed)::integer),
        sum(m.sign * (m.outcome = 'sent')::integer),
        sum(m.sign * (m.outcome = 'unknown')::integer),
        sum(m.sign * (m.outcome = 'hard_failed')::integer),
        sum(m.sign * (c.mailed AND m.first_opened_at IS NOT NULL)::integer),
        sum(m.sign * (c.mailed AND m.first_clicked_at IS NOT NULL)::integer),
        sum(m.sign * (c.mailed AND m.machine_opened_at IS NOT NULL)::integer),
        sum(m.sign * (c.mailed AND m.machine_clicked_at IS NOT NULL)::integer),
        sum(m.sign * (c.mailed AND m.replied_at IS NOT NULL)::integer),
        sum(m.sign * (m.outcome = 'hard_failed' OR m.hard_bounced_at IS NOT NULL)::integer),
        sum(m.sign * (c.mailed AND m.complained_at IS NOT NULL)::integer),
        sum(m.sign * (c.mailed AND m.unsubscribed_at IS NOT NULL)::integer),
        sum(m.sign * (m.is_first)::integer),
        sum(m.sign * (m.is_first AND m.enrolment_replied_at IS NOT NULL)::integer)
    FROM (SELECT 1 AS sign, a.* FROM unnest(after) a UNION ALL SELECT -1, b.* FROM unnest(before) b) m,
        LATERAL (SELECT m.outcome IN ('sent', 'unknown') AS mailed) c,
        LATERAL (SELECT date_trunc('month', m.send_day)::date AS month) b,
        LATERAL (VALUES ('day', m.send_day, 0::bigint, 0::bigint, 0::bigint),
            ('step', m.send_day, m.sequence_id, m.step_id, 0),
            ('mailbox', m.send_day, 0, 0, m.mailbox_id),
            ('sequence_mailbox', m.send_day, m.sequence_id, 0, m.mailbox_id),
            ('step_month', b.month, m.sequence_id, m.step_id, 0),
            ('mailbox_month', b.month, 0, 0, m.mailbox_id),
            ('sequence_mailbox_month', b.month, m.sequence_id, 0, m.mailbox_id)
        ) g (grain, day, sequence_id, step_id, mailbox_id)
    WHERE m.outcome IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (grain, send_day, sequence_id, step_id, mailbox_id) DO UPDATE SET
        mails = d.mails + excluded.mails, sent = d.sent + excluded.sent,
        unknown = d.unknown + excluded.unknown, hard_failed = d.hard_failed + excluded.hard_failed,
        opened = d.opened + excluded.opened, clicked = d.clicked + excluded.clicked,
        machine_opened = d.machine_opened + excluded.machine_opened,
        machine_clicked = d.machine_clicked + excluded.machine_clicked,
        replied = d.replied + excluded.replied, bounced = d.bounced + excluded.bounced,
        complained = d.complained + excluded.complained,
        unsubscribed = d.unsubscribed + excluded.unsubscribed,
        enrolments = d.enrolments + excluded.enrolments,
        enrolments_replied = d.enrolments_replied + excluded.enrolments_replied;
    RETURN cardinality(ids);
END $$;

-- The mails of these enrolments' rounds: an array of objects with sequence_id, contact_id and round.
CREATE OR REPLACE FUNCTION outcomes_of_enrolments(p_enrolled jsonb) RETURNS mail_outcomes[]
LANGUAGE sql STABLE AS $$
    SELECT array_agg(o)
    FROM jsonb_to_recordset(p_enrolled) t (sequence_id bigint, contact_id bigint, round smallint)
    JOIN mail_outcomes o ON o.sequence_id = t.sequence_id AND o.contact_id = t.contact_id
        AND o.round = t.round
$$;

-- The events after a position and up to another one, in order: the kinds p_kinds of the feed, or all. It
-- names everything by its public id; an erased contact has none.
CREATE OR REPLACE FUNCTION read_feed(p_after bigint, p_upto bigint, p_kinds text[], p_most integer)
RETURNS TABLE (event_position bigint, at timestamptz, kind text, sequence_id uuid, contact_id uuid,
    step_id uuid, step_number integer, mailbox_id uuid, round smallint, machine boolean, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT v.position, v.at, feed_kind(v.kind), q.external_id,
        CASE WHEN c.mail_address <> '' THEN c.external_id END, st.external_id, st.step_number, m.external_id,
        v.round, v.machine, feed_detail(v.detail)
    FROM (
        SELECT * FROM send_events e WHERE e.position > p_after AND e.position <= p_upto
            AND (p_kinds IS NULL OR feed_kind(e.kind) = ANY (p_kinds))
        ORDER BY e.position LIMIT p_most) v
    LEFT JOIN sequences q ON q.id = v.sequence_id
    LEFT JOIN contacts c ON c.id = v.contact_id
    LEFT JOIN steps st ON st.id = v.step_id
    LEFT JOIN mail_outcomes o ON o.sequence_id = v.sequence_id AND o.contact_id = v.contact_id
        AND o.step_id = v.step_id AND o.round = v.round
    LEFT JOIN mailboxes m ON m.id = coalesce(o.mailbox_id, (v.detail->>'mailbox_id')::bigint)
    ORDER BY v.position
$$;

-- Removes events of the feed that are older than p_days, at most p_most of them; returns how many. What they
-- say of mails stays in mail_outcomes. Kinds that show who decided what are kept.
CREATE OR REPLACE FUNCTION remove_old_events(p_days integer, p_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    removed bigint;
    upto bigint;
BEGIN
    IF p_days < 14 THEN RAISE EXCEPTION 'events of the last 14 days stay'; END IF;
    WITH gone AS (
        DELETE FROM send_events WHERE id IN (
            SELECT v.id FROM send_events v, feed f
            WHERE v.position <= f.facts_position AND v.at < clock_timestamp() - make_interval(days => p_days)
                AND v.kind NOT IN ('resolved', 'restored', 'contact_erased', 'suppression_lifted')
            ORDER BY v.position LIMIT p_most)
        RETURNING position)
    SELECT count(*), max(position) INTO removed, upto FROM gone;
    UPDATE feed SET removed_to = greatest(removed_to, upto) WHERE removed > 0;
    RETURN removed;
END $$;

REVOKE EXECUTE ON FUNCTION feed_kind, feed_detail, sequence_events, outcomes_of_enrolments, read_feed,
    remove_old_events
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION sequence_events, read_feed TO sequence_api, sequence_pipeline;
GRANT EXECUTE ON FUNCTION remove_old_events TO sequence_pipeline;
