-- The secrets of webhooks, which the API may replace and not read.

-- Replaces the sealed secret of a webhook; for 24 hours the previous one signs, too. False: there is none.
CREATE OR REPLACE FUNCTION rotate_webhook_secret(p_webhook uuid, p_secret text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH rotated AS (
        UPDATE webhooks SET previous_secret = secret, secret = p_secret,
            previous_until = clock_timestamp() + interval '24 hours'
        WHERE external_id = p_webhook AND deleted_at IS NULL RETURNING 1)
    SELECT EXISTS (SELECT FROM rotated)
$$;

REVOKE EXECUTE ON FUNCTION rotate_webhook_secret
    FROM PUBLIC, sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON FUNCTION rotate_webhook_secret TO sequence_api;
