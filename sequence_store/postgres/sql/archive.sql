-- name: archive_sends
-- One batch from a time on; the function decides which sends can be archived.
SELECT * FROM archive_sends(%(from)s, %(before)s, %(batch)s)

-- name: count_archivable
-- What a first run would look at (every send that is old enough) and move (those whose enrolment has ended).
SELECT count(*) AS examined, count(*) FILTER (
    WHERE (s.advanced_at IS NOT NULL OR s.status IN ('cancelled', 'expired'))
        AND (e.round > s.round OR e.status NOT IN ('active', 'paused'))) AS archivable
FROM sends s
LEFT JOIN sequences_contacts e ON e.sequence_id = s.sequence_id AND e.contact_id = s.contact_id
WHERE s.send_at < %(before)s
