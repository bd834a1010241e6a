-- The latest result of each asset check, for alerts and metrics.

-- name: read
SELECT asset, check_name, passed, in_a_row, at, alerted FROM check_results

-- name: keep
INSERT INTO check_results (asset, check_name, passed, severity, blocking, in_a_row, run_id, at, alerted)
VALUES (%(asset)s, %(check_name)s, %(passed)s, %(severity)s, %(blocking)s, %(in_a_row)s, %(run_id)s, %(at)s,
    %(alerted)s)
ON CONFLICT (asset, check_name) DO UPDATE SET passed = excluded.passed, severity = excluded.severity,
    blocking = excluded.blocking, in_a_row = excluded.in_a_row, run_id = excluded.run_id, at = excluded.at,
    alerted = excluded.alerted

-- name: forget
-- Checks that the release no longer has.
DELETE FROM check_results c WHERE NOT EXISTS (
    SELECT FROM unnest(%(assets)s::text[], %(checks)s::text[]) k (asset, check_name)
    WHERE k.asset = c.asset AND k.check_name = c.check_name)

-- name: read_passed
SELECT asset, check_name, passed FROM check_results ORDER BY 1, 2
