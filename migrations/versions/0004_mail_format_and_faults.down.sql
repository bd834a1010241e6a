DROP TABLE refusals;
DROP TABLE policy_refusals;
-- Without its end, a suppression would last for ever.
DELETE FROM suppressions WHERE until IS NOT NULL;
ALTER TABLE suppressions DROP COLUMN until;
ALTER TABLE steps DROP COLUMN mail_format;
