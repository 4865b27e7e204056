DROP VIEW catalogue;
DROP VIEW card_population;
DROP VIEW set_population;

CREATE VIEW card_population AS
SELECT cards.id AS card_id, entry.key AS grade_code, CAST(entry.value AS bigint) AS copies
--sqlite FROM cards, json_each(cards.counts) AS entry
--postgres FROM cards, jsonb_each_text(cards.counts) AS entry
WHERE cards.vanished_at IS NULL;

CREATE VIEW set_population AS
SELECT sets.id AS set_id, entry.key AS grade_code, CAST(entry.value AS bigint) AS copies
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
        WHERE population.card_id = cards.id ORDER BY grade_scale.position DESC LIMIT 1) AS top_grade_copies
FROM cards
JOIN sets ON sets.id = cards.set_id
JOIN years ON years.id = sets.year_id
JOIN categories ON categories.id = years.category_id
WHERE cards.vanished_at IS NULL AND sets.vanished_at IS NULL AND years.vanished_at IS NULL
  AND categories.vanished_at IS NULL;

DROP INDEX cards_by_verification;
DROP INDEX sets_by_verification;
DROP TABLE shared_certificates;
ALTER TABLE discrepancies DROP COLUMN verdict;
DROP INDEX frontier_to_verify;
ALTER TABLE frontier DROP COLUMN verify_after;
ALTER TABLE frontier DROP COLUMN doubt;
