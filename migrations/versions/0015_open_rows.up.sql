-- A plan takes cancelled and expired sends again, and looks for them among those that say why they are what they are: no
-- send that goes well does, and an index that names no status lets a change of status stay on its page.
CREATE INDEX sends_with_reason ON sends (sequence_id, contact_id) WHERE reason IS NOT NULL;
