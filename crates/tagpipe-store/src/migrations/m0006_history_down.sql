DROP VIEW catalogue;
DROP VIEW card_population;
DROP VIEW set_population;
--sqlite DROP TRIGGER categories_presence;
--postgres DROP TRIGGER categories_presence ON categories;
--sqlite DROP TRIGGER years_presence;
--postgres DROP TRIGGER years_presence ON years;
--sqlite DROP TRIGGER sets_presence;
--postgres DROP TRIGGER sets_presence ON sets;
--sqlite DROP TRIGGER cards_presence;
--postgres DROP TRIGGER cards_presence ON cards;
--sqlite DROP TRIGGER categories_names;
--postgres DROP TRIGGER categories_names ON categories;
--sqlite DROP TRIGGER sets_names;
--postgres DROP TRIGGER sets_names ON sets;
--sqlite DROP TRIGGER cards_names;
--postgres DROP TRIGGER cards_names ON cards;
--sqlite DROP TRIGGER grade_rows_changes;
--postgres DROP TRIGGER grade_rows_changes ON grade_rows;
--postgres DROP FUNCTION record_certificate();
--postgres DROP FUNCTION record_card_name();
--postgres DROP FUNCTION record_set_name();
--postgres DROP FUNCTION record_category_name();
--postgres DROP FUNCTION record_presence();
DROP INDEX population_history_by_time;
DROP INDEX grade_rows_by_first_seen;
DROP TABLE certificate_history;
DROP TABLE catalogue_history;
ALTER TABLE grade_rows DROP COLUMN seen_by_run;
ALTER TABLE cards DROP COLUMN seen_by_run;
ALTER TABLE cards DROP COLUMN vanished_at;
ALTER TABLE sets DROP COLUMN seen_by_run;
ALTER TABLE sets DROP COLUMN vanished_at;
ALTER TABLE years DROP COLUMN seen_by_run;
ALTER TABLE years DROP COLUMN vanished_at;
ALTER TABLE categories DROP COLUMN seen_by_run;
ALTER TABLE categories DROP COLUMN vanished_at;

CREATE VIEW card_population AS
SELECT cards.id AS card_id, entry.key AS grade_code, CAST(entry.value AS bigint) AS copies
--sqlite FROM cards, json_each(cards.counts) AS entry;
--postgres FROM cards, jsonb_each_text(cards.counts) AS entry;

CREATE VIEW set_population AS
SELECT sets.id AS set_id, entry.key AS grade_code, CAST(entry.value AS bigint) AS copies
--sqlite FROM sets, json_each(sets.counts) AS entry;
--postgres FROM sets, jsonb_each_text(sets.counts) AS entry;

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
JOIN categories ON categories.id = years.category_id;
