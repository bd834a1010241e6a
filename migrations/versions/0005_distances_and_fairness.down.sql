DROP TABLE plan_cuts;
DROP TRIGGER steps_changed ON steps;
DROP TRIGGER steps_added ON steps;
DROP TRIGGER mailboxes_ramp_up_restarts ON mailboxes;
DROP FUNCTION mark_steps_changed, restart_ramp_up;
ALTER TABLE mailboxes DROP COLUMN ramp_up_days, DROP COLUMN ramp_up_counted;
ALTER TABLE mailbox_days DROP COLUMN grid_from, DROP COLUMN utc_offset;
ALTER TABLE sequences_contacts DROP COLUMN last_offset;
ALTER TABLE sequences DROP COLUMN steps_changed_at;
