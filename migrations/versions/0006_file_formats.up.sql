ALTER TABLE imports
    ADD COLUMN encoding text,
    ADD COLUMN encoding_confidence real,
    ADD COLUMN delimiter text,
    ADD COLUMN sheet text,
    ADD COLUMN header_line bigint,
    ADD COLUMN columns jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN imports.encoding_confidence IS
    'How sure the encoding is: 1 is certain, 0.5 a toss-up; null if it was requested, or for a workbook';
COMMENT ON COLUMN imports.sheet IS 'The sheet that was read, if the file is a workbook';
COMMENT ON COLUMN imports.header_line IS 'The line with the names of the columns, from 1';
COMMENT ON COLUMN imports.columns IS 'The names of the columns that were read, by the field';
