-- name: take_slot
-- An import holds a connection and sorts its whole file, so only a few run at once, over all processes.
SELECT pg_try_advisory_xact_lock(72366, %(slot)s)

-- name: allow_time
-- An import runs longer than a request's statements, and sorts more rows than a page.
SELECT set_config('statement_timeout', '1800000', true), set_config('work_mem', '128MB', true),
    set_config('idle_in_transaction_session_timeout', '120000', true)

-- name: mark_alive
-- The import's transaction holds this lock. While the file arrives, the import is touched every second
-- instead. If the lock is free and the import was not touched lately, it died.
SELECT pg_advisory_xact_lock_shared(72367, %(import_id)s::int)

-- name: find_gone
-- Imports whose process died: unfinished, not touched lately, and their lock is free.
SELECT id FROM imports
WHERE id = ANY(%(ids)s) AND state IN ('reading', 'merging')
    AND greatest(created, updated) < clock_timestamp() - interval '5 seconds'
    AND pg_try_advisory_xact_lock(72367, id::int)

-- name: wait_for_other_merges
-- One merge at a time.
SELECT pg_advisory_xact_lock(72368)

-- name: begin_import
INSERT INTO imports (kind) VALUES (%(kind)s) RETURNING id

-- name: forget_old_imports
DELETE FROM imports WHERE created < now() - interval '90 days'

-- name: show_progress
-- Lines that have arrived are counted first, then the rows of the file from its start on.
UPDATE imports SET state = %(state)s, rows_read = greatest(rows_read, %(rows_read)s)
WHERE id = %(import_id)s AND state IN ('reading', 'merging')

-- name: fail_import
UPDATE imports SET state = 'failed', message = %(message)s, finished_at = clock_timestamp()
WHERE id = %(import_id)s AND state IN ('reading', 'merging')

-- name: finish_import
UPDATE imports i SET state = 'done', finished_at = clock_timestamp(),
    rows_read = %(rows_read)s, added = %(added)s, changed = %(changed)s, enrolled = %(enrolled)s,
    opted_out = %(opted_out)s, missing_names = %(missing_names)s,
    ignored_columns = %(ignored_columns)s, opt_out_columns = %(opt_out_columns)s,
    merged = l.merged, refused = l.refused, flagged = l.flagged, not_enrolled = l.not_enrolled
FROM (SELECT count(*) FILTER (WHERE outcome = 'merged') AS merged,
        count(*) FILTER (WHERE outcome = 'refused') AS refused,
        count(*) FILTER (WHERE outcome = 'flagged') AS flagged,
        count(*) FILTER (WHERE outcome = 'not_enrolled') AS not_enrolled
    FROM import_lines WHERE import_id = %(import_id)s) l
WHERE i.id = %(import_id)s

-- name: create_staging
-- `outcome` is null for a row that is simply imported; a refused row has only its line, its outcome and
-- the reason. `name` is null if it is missing; `placeholder` is then what the file has instead. `written`
-- is the address as the file has it, null if that is mail_address. `opt_out` is the reason of the
-- suppression of a contact that does not want mail, null for others.
CREATE TEMP TABLE import_rows (
    line bigint NOT NULL,
    name text,
    placeholder text,
    mail_address text,
    written text,
    is_active boolean,
    attributes jsonb,
    opt_out text,
    opt_out_at timestamptz,
    outcome text,
    reason text,
    key text GENERATED ALWAYS AS (lower(mail_address)) STORED
) ON COMMIT DROP

-- name: copy_rows
COPY import_rows (line, name, placeholder, mail_address, written, is_active, attributes, opt_out, opt_out_at,
    outcome, reason) FROM STDIN

-- name: report_rows
INSERT INTO import_lines (import_id, line, outcome, reason)
SELECT %(import_id)s, line, outcome, reason FROM import_rows WHERE outcome IS NOT NULL

-- name: drop_refused
DELETE FROM import_rows WHERE outcome = 'refused'

-- name: refuse_suppressed
-- A row that says itself that its contact does not want mail stays, unless the person was erased.
WITH suppressed AS (
    DELETE FROM import_rows r USING suppressions x
    WHERE x.address_hmac = address_hmac(r.mail_address, %(pads)s)
        AND is_in_force(x.until, clock_timestamp()) AND (r.opt_out IS NULL OR x.reason = 'erased')
    RETURNING r.line)
INSERT INTO import_lines (import_id, line, outcome, reason)
SELECT %(import_id)s, line, 'refused', 'mailAddress: is suppressed; it must not be mailed' FROM suppressed

-- name: merge_repeated
-- Of several rows with one address the first stays; later rows overwrite its values, attribute by attribute.
WITH repeated AS MATERIALIZED (
    SELECT key, min(line) AS line FROM import_rows GROUP BY key HAVING count(*) > 1
), said AS (
    SELECT p.line, (array_agg(r.name ORDER BY r.line DESC) FILTER (WHERE r.name IS NOT NULL))[1] AS name,
        (array_agg(r.opt_out ORDER BY r.line) FILTER (WHERE r.opt_out IS NOT NULL))[1] AS opt_out,
        min(r.opt_out_at) AS opt_out_at,
        (array_agg(r.is_active ORDER BY r.line DESC) FILTER (WHERE r.is_active IS NOT NULL))[1] AS is_active
    FROM repeated p JOIN import_rows r USING (key) GROUP BY p.line
), attributed AS (
    SELECT p.line, jsonb_object_agg(a.key, a.value ORDER BY r.line) AS attributes
    FROM repeated p JOIN import_rows r USING (key) CROSS JOIN LATERAL jsonb_each(r.attributes) a
    GROUP BY p.line
), kept AS (
    UPDATE import_rows r SET name = s.name, is_active = s.is_active,
        attributes = coalesce(a.attributes, '{}'), opt_out = s.opt_out, opt_out_at = s.opt_out_at
    FROM said s LEFT JOIN attributed a USING (line) WHERE r.line = s.line
), merged AS (
    DELETE FROM import_rows r USING repeated p WHERE r.key = p.key AND r.line <> p.line
    RETURNING r.line, p.line AS first)
INSERT INTO import_lines (import_id, line, outcome, reason)
SELECT %(import_id)s, line, 'merged', 'mailAddress: is that of line ' || first FROM merged

-- name: analyze_staging
ANALYZE import_rows

-- name: find_known
CREATE TEMP TABLE import_known ON COMMIT DROP AS
SELECT r.line, c.id AS contact_id FROM import_rows r JOIN contacts c ON lower(c.mail_address) = r.key
WHERE c.deleted_at IS NULL

-- name: analyze_known
ANALYZE import_known

-- name: stop_opted_out
-- Before anything is changed, so that the locks are taken in the order of every other stop.
SELECT stop_contacts(ARRAY(
    SELECT c.id FROM import_rows r JOIN contacts c ON lower(c.mail_address) = r.key
    WHERE r.opt_out IS NOT NULL
    UNION
    SELECT c.id FROM import_rows r JOIN contacts c ON c.address_hmac = address_hmac(r.mail_address, %(pads)s)
    WHERE r.opt_out IS NOT NULL), 'removed', 'suppressed')

-- name: suppress_opted_out
-- The time that the file states counts only if no contact has or had the address: nobody can have been mailed
-- since.
SELECT count(enter_suppression(address_hmac(r.mail_address, %(pads)s), r.opt_out,
    CASE WHEN r.opt_out_at > now() OR EXISTS (
            SELECT FROM contacts c WHERE lower(c.mail_address) = r.key AND c.deleted_at IS NULL) OR EXISTS (
            SELECT FROM contacts c WHERE lower(c.mail_address) = r.key AND c.deleted_at IS NOT NULL)
        THEN clock_timestamp() ELSE coalesce(r.opt_out_at, clock_timestamp()) END, NULL))
FROM (SELECT * FROM import_rows WHERE opt_out IS NOT NULL ORDER BY line) r

-- name: change_known
-- Updates contacts. Attributes that the file does not have stay, and so do a name that the file does not
-- have and is_active if it has no such column.
UPDATE contacts c SET name = coalesce(r.name, c.name), is_active = coalesce(r.is_active, c.is_active),
    attributes = c.attributes || r.attributes
FROM import_known k JOIN import_rows r USING (line)
WHERE c.id = k.contact_id AND (c.name, c.is_active, c.attributes) IS DISTINCT FROM
    (coalesce(r.name, c.name), coalesce(r.is_active, c.is_active), c.attributes || r.attributes)

-- name: add_new
-- No ON CONFLICT: if the address is entered meanwhile, the import fails and can be sent again. The HMAC is
-- stored at once; otherwise the next plan would have to update every row.
INSERT INTO contacts (name, mail_address, mail_address_written, is_active, attributes, address_hmac)
SELECT coalesce(r.name, r.placeholder, ''), r.mail_address, r.written, coalesce(r.is_active, true),
    r.attributes,
    address_hmac(r.mail_address, %(pads)s)
FROM import_rows r
WHERE NOT EXISTS (SELECT FROM import_known k WHERE k.line = r.line) ORDER BY r.line

-- name: add_and_enrol_new
WITH added AS (
    INSERT INTO contacts (name, mail_address, mail_address_written, is_active, attributes, address_hmac)
    SELECT coalesce(r.name, r.placeholder, ''), r.mail_address, r.written, coalesce(r.is_active, true),
    r.attributes,
        address_hmac(r.mail_address, %(pads)s)
    FROM import_rows r
    WHERE NOT EXISTS (SELECT FROM import_known k WHERE k.line = r.line) ORDER BY r.line
    RETURNING id, is_active, address_hmac
), enrolled AS (
    INSERT INTO sequences_contacts (sequence_id, contact_id, next_send)
    SELECT %(sequence_id)s, id, %(next_send)s FROM added WHERE is_active AND (NOT %(opt_outs)s
        OR NOT EXISTS (SELECT FROM suppressions x WHERE x.address_hmac = added.address_hmac
            AND is_in_force(x.until, clock_timestamp())))
    RETURNING 1)
SELECT (SELECT count(*) FROM added) AS added, (SELECT count(*) FROM enrolled) AS enrolled

-- name: enrol_known
-- A contact that is or was in the sequence is not enrolled, so that sending a file twice does not mail it
-- twice.
WITH enrolled AS (
    INSERT INTO sequences_contacts (sequence_id, contact_id, next_send)
    SELECT %(sequence_id)s, c.id, %(next_send)s FROM import_known k JOIN contacts c ON c.id = k.contact_id
    JOIN import_rows r USING (line)
    WHERE c.is_active AND r.opt_out IS NULL
        AND (c.replied_at > now() - make_interval(days => %(quiet_days)s)) IS NOT TRUE
    ORDER BY c.id
    ON CONFLICT DO NOTHING
    RETURNING contact_id
), left_out AS (
    INSERT INTO import_lines (import_id, line, outcome, reason)
    SELECT %(import_id)s, k.line, 'not_enrolled',
        CASE WHEN r.opt_out IS NOT NULL THEN 'does not want mail, by the file'
            WHEN NOT c.is_active THEN 'is inactive'
            WHEN c.replied_at > now() - make_interval(days => %(quiet_days)s) AND NOT EXISTS (
                SELECT FROM sequences_contacts e
                WHERE e.sequence_id = %(sequence_id)s AND e.contact_id = c.id) THEN 'replied'
            ELSE 'is or was in the sequence already' END
    FROM import_known k JOIN contacts c ON c.id = k.contact_id JOIN import_rows r USING (line)
    WHERE NOT EXISTS (SELECT FROM enrolled e WHERE e.contact_id = k.contact_id))
SELECT count(*) AS enrolled FROM enrolled

-- name: report_not_enrolled_new
INSERT INTO import_lines (import_id, line, outcome, reason)
SELECT %(import_id)s, r.line, 'not_enrolled',
    CASE WHEN r.opt_out IS NOT NULL THEN 'does not want mail, by the file' ELSE 'is inactive' END
FROM import_rows r
WHERE (NOT r.is_active OR r.opt_out IS NOT NULL)
    AND NOT EXISTS (SELECT FROM import_known k WHERE k.line = r.line)

-- name: stop_suppressed
SELECT stop_contacts(ARRAY(
    SELECT c.id FROM import_rows r JOIN contacts c ON lower(c.mail_address) = r.key
    UNION
    SELECT c.id FROM import_rows r
    JOIN contacts c ON c.address_hmac = address_hmac(r.mail_address, %(pads)s)),
    'removed', 'suppressed')

-- name: add_suppressions
-- Returns how many suppressions are new or changed.
SELECT count(*) FILTER (WHERE enter_suppression(
    address_hmac(r.mail_address, %(pads)s), r.name, clock_timestamp(), NULL)) AS added
FROM (SELECT * FROM import_rows ORDER BY line) r

-- name: export_contacts
-- A cell that a spreadsheet would read as a formula gets a leading apostrophe; an import removes it again.
COPY (
    SELECT c.external_id AS "id",
        regexp_replace(name, '^(''*[=+@\t\r＝＋－＠-])', '''\1') AS "name",
        regexp_replace(mail_address, '^(''*[=+@\t\r＝＋－＠-])', '''\1') AS "mailAddress",
        is_active::text AS "isActive", attributes AS "attributes",
        to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "createdAt",
        regexp_replace(mail_address_written, '^(''*[=+@\t\r＝＋－＠-])', '''\1') AS "mailAddressWritten",
        (x.address_hmac IS NOT NULL)::text AS "suppressed",
        regexp_replace(x.reason, '^(''*[=+@\t\r＝＋－＠-])', '''\1') AS "suppressionReason",
        to_char(x.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "suppressedAt"
    FROM contacts c LEFT JOIN suppressions x ON x.address_hmac = hmac_of_contact(c, %(pads)s)
        AND is_in_force(x.until, clock_timestamp())
    WHERE deleted_at IS NULL AND (%(is_active)s::boolean IS NULL OR is_active = %(is_active)s::boolean)
        AND (%(suppressed)s::boolean IS NULL OR (x.address_hmac IS NOT NULL) = %(suppressed)s::boolean)
    ORDER BY c.id
) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *, ENCODING 'UTF8')

-- name: export_report
COPY (SELECT line, outcome, reason FROM import_lines WHERE import_id = %(import_id)s ORDER BY line, outcome)
TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')
