ALTER TABLE imports
    DROP COLUMN columns, DROP COLUMN header_line, DROP COLUMN sheet, DROP COLUMN delimiter,
    DROP COLUMN encoding_confidence, DROP COLUMN encoding;
