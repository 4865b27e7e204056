-- Proving the sums: which pages are in doubt and why, which discrepancies were looked at twice, what is verified.

-- What did not agree when the page was last put up for verification; the next reading is compared with it.
ALTER TABLE frontier ADD COLUMN doubt text;
-- The page that is read before this one when both are verified: the one with the parent's row.
ALTER TABLE frontier ADD COLUMN verify_after bigint;
CREATE INDEX frontier_to_verify ON frontier (verify_after) WHERE verify_after IS NOT NULL;

-- 'disagrees': the difference stayed when parent and child were read again, one directly after the other. 'moved': the
-- numbers moved while they were read. 'unverified': there were more than a run may read again.
ALTER TABLE discrepancies ADD COLUMN verdict text NOT NULL DEFAULT 'disagrees'
    CHECK (verdict IN ('disagrees', 'moved', 'unverified'));

-- Certificates that one run saw on the pages of two cards: `grade_rows` has one row for each certificate.
CREATE TABLE shared_certificates (
    id {id},
    run_id bigint NOT NULL REFERENCES runs (id),
    cert_number text NOT NULL,
    card_id bigint NOT NULL,                -- the card that has it now
    other_card_id bigint NOT NULL,          -- the card that had it before, seen in the same run
    seen_at {time} NOT NULL
);
CREATE INDEX shared_certificates_by_run ON shared_certificates (run_id);

-- How much is verified, and since when, without going through the catalogue.
CREATE INDEX sets_by_verification ON sets (verified_at) WHERE vanished_at IS NULL;
CREATE INDEX cards_by_verification ON cards (verified_at) WHERE vanished_at IS NULL;

DROP VIEW catalogue;
DROP VIEW card_population;
DROP VIEW set_population;

CREATE VIEW card_population AS
SELECT cards.id AS card_id, entry.key AS grade_code, CAST(entry.value AS bigint) AS copies, cards.verified_at
--sqlite FROM cards, json_each(cards.counts) AS entry
--postgres FROM cards, jsonb_each_text(cards.counts) AS entry
WHERE cards.vanished_at IS NULL;

CREATE VIEW set_population AS
SELECT sets.id AS set_id, entry.key AS grade_code, CAST(entry.value AS bigint) AS copies, sets.verified_at
--sqlite FROM sets, json_each(sets.counts) AS entry
--postgres FROM sets, jsonb_each_text(sets.counts) AS entry
WHERE sets.vanished_at IS NULL;

CREATE VIEW catalogue AS
SELECT cards.id AS card_id, categories.name AS category, years.year, sets.brand, sets.name AS set_name,
       cards.number, cards.name, cards.variation, cards.total,
       (SELECT population.grade_code FROM card_population AS population
        JOIN grade_scale ON grade_scale.code = population.grade_code
        WHERE population.card_id = cards.id ORDER BY grade_scale.position DESC LIMIT 1) AS top_grade,
       (SELECT population.copies FROM card_population AS population
        JOIN grade_scale ON grade_scale.code = population.grade_code
        WHERE population.card_id = cards.id ORDER BY grade_scale.position DESC LIMIT 1) AS top_grade_copies,
       cards.verified_at
FROM cards
JOIN sets ON sets.id = cards.set_id
JOIN years ON years.id = sets.year_id
JOIN categories ON categories.id = years.category_id
WHERE cards.vanished_at IS NULL AND sets.vanished_at IS NULL AND years.vanished_at IS NULL
  AND categories.vanished_at IS NULL;
