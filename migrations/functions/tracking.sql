-- Records what was fetched by a link of a mail, with the verdict whether a person or a program did it.

-- Records that a link was fetched, at most p_most times for each kind and mail. p_machine: the request itself
-- shows that a program made it. Else a program made it if the mail is not sent yet or was sent less than 5
-- seconds ago, which no person can do, or if another link of the mail was followed within 5 seconds; then the
-- links of this burst that were followed before are a program's, too. sequence_events waits for that.
CREATE OR REPLACE FUNCTION record_link(
    p_sequence_id bigint, p_contact_id bigint, p_step_id bigint, p_round integer, p_kind text, p_place bigint,
    p_machine boolean, p_most integer)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    burst interval := '5 seconds';
    fetched_at timestamptz := clock_timestamp();
    by_machine boolean := p_machine;
    burst_ids bigint[];
BEGIN
    IF (SELECT count(*) FROM (SELECT FROM send_events v
            WHERE v.sequence_id = p_sequence_id AND v.contact_id = p_contact_id AND v.step_id = p_step_id
                AND v.round = p_round AND v.kind = p_kind LIMIT p_most) those) >= p_most THEN
        RETURN;
    END IF;
    by_machine := by_machine OR EXISTS (SELECT FROM sends s
        WHERE s.sequence_id = p_sequence_id AND s.contact_id = p_contact_id AND s.step_id = p_step_id
            AND s.round = p_round AND (s.status IN ('planned', 'dispatched', 'claimed', 'transmitting')
                OR s.finished_at > fetched_at - burst));
    IF p_kind = 'clicked' THEN
        SELECT array_agg(v.id) INTO burst_ids FROM send_events v
        WHERE v.sequence_id = p_sequence_id AND v.contact_id = p_contact_id AND v.step_id = p_step_id
            AND v.round = p_round AND v.kind = 'clicked' AND v.at > fetched_at - burst;
        IF EXISTS (SELECT FROM send_events v WHERE v.id = ANY (burst_ids)
                AND (v.detail->>'link')::bigint IS DISTINCT FROM p_place) THEN
            by_machine := true;
            UPDATE send_events v SET machine = true
            WHERE v.id = ANY (burst_ids) AND NOT v.machine AND v.position IS NULL;
        END IF;
    END IF;
    INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind, detail, machine)
    VALUES (p_sequence_id, p_contact_id, p_step_id, p_round, fetched_at, p_kind,
        jsonb_build_object('link', p_place), by_machine);
END $$;

REVOKE EXECUTE ON FUNCTION record_link
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION record_link TO sequence_api;
