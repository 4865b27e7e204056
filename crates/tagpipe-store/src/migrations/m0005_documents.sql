-- The documents that pages were read from, compressed: what was read can be extracted again without a request.

CREATE TABLE documents (
    id {id},
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 4),
    subject_id bigint NOT NULL,             -- the row whose children the page lists; 0 for the categories
    part bigint NOT NULL,                   -- place among the documents of the page, from 1: one for each step of its pager
    run_id bigint NOT NULL REFERENCES runs (id),
    page_key text NOT NULL,
    url text NOT NULL,
    fetched_at {time} NOT NULL,
    superseded_at {time},                   -- when the page was read anew; null for the newest reading
    profile text NOT NULL,                  -- name and version of the profile that read it last
    subject_changes bigint,                 -- as in the frontier; null when a later reading of the page failed
    hash text NOT NULL,                     -- SHA-256 of the document before compression
    bytes bigint NOT NULL,                  -- its size before compression
    row_keys {json},                        -- the rows it shows, where the page has more than one document
--sqlite body blob NOT NULL
--postgres body bytea NOT NULL
);
CREATE UNIQUE INDEX documents_of_page ON documents (level, subject_id, run_id, part);
CREATE UNIQUE INDEX documents_newest ON documents (level, subject_id, part) WHERE superseded_at IS NULL;
-- Compressed already.
--postgres ALTER TABLE documents ALTER COLUMN body SET STORAGE EXTERNAL;

-- The document that each row was last read from. A row whose document is not kept has none.
CREATE VIEW lineage AS
SELECT seen.row_table, seen.row_id, documents.id AS document_id, documents.page_key, documents.url, documents.run_id,
       documents.fetched_at, documents.profile, documents.hash, documents.bytes
FROM (
    SELECT 'categories' AS row_table, id AS row_id, 0 AS level, 0 AS subject_id, name_key AS row_key, last_seen_at
    FROM categories
    UNION ALL
    SELECT 'years', id, 1, category_id, natural_key, last_seen_at FROM years
    UNION ALL
    SELECT 'sets', id, 2, year_id, natural_key, last_seen_at FROM sets
    UNION ALL
    SELECT 'cards', id, 3, set_id, natural_key, last_seen_at FROM cards
    UNION ALL
    SELECT 'grade_rows', id, 4, card_id, cert_number, last_seen_at FROM grade_rows
) AS seen
JOIN documents ON documents.level = seen.level AND documents.subject_id = seen.subject_id
WHERE documents.fetched_at <= seen.last_seen_at
  AND (documents.superseded_at IS NULL OR seen.last_seen_at < documents.superseded_at)
  AND (documents.row_keys IS NULL OR seen.row_key IN
--sqlite (SELECT value FROM json_each(documents.row_keys)));
--postgres (SELECT jsonb_array_elements_text(documents.row_keys)));
