DROP TABLE orchestrators;
ALTER TABLE pace ADD COLUMN refused_page text NOT NULL DEFAULT '';
ALTER TABLE pace DROP COLUMN closures;
ALTER TABLE runs DROP COLUMN closing_until;
ALTER TABLE runs DROP COLUMN closing_by;
ALTER TABLE runners DROP COLUMN ended_why;
ALTER TABLE runners DROP COLUMN memory_bytes;
ALTER TABLE runners DROP COLUMN current_page;
ALTER TABLE runners DROP COLUMN process_mark;
