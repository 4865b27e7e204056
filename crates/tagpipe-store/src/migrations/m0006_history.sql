-- What became of the rows of the report: what is no longer listed, what came back, was renamed or has moved.

-- `vanished_at`: when a complete reading of the page above no longer listed the row; null while it is listed.
-- `seen_by_run`: the run that last saw the row, or saw it missing.
ALTER TABLE categories ADD COLUMN vanished_at {time};
ALTER TABLE categories ADD COLUMN seen_by_run bigint;
ALTER TABLE years ADD COLUMN vanished_at {time};
ALTER TABLE years ADD COLUMN seen_by_run bigint;
ALTER TABLE sets ADD COLUMN vanished_at {time};
ALTER TABLE sets ADD COLUMN seen_by_run bigint;
ALTER TABLE cards ADD COLUMN vanished_at {time};
ALTER TABLE cards ADD COLUMN seen_by_run bigint;
ALTER TABLE grade_rows ADD COLUMN seen_by_run bigint;

-- Categories, years, sets and cards: one row for each time that one vanished, returned or was renamed.
CREATE TABLE catalogue_history (
    id {id},
    subject text NOT NULL CHECK (subject IN ('category', 'year', 'set', 'card')),
    subject_id bigint NOT NULL,
    event text NOT NULL CHECK (event IN ('vanished', 'returned', 'renamed')),
    observed_at {time} NOT NULL,
    run_id bigint,
    name_before text,                       -- of a renamed one: set name, or name of a card
    detail_before text,                     -- brand of a set, variation of a card
    name_after text,
    detail_after text
);
CREATE INDEX catalogue_history_by_subject ON catalogue_history (subject, subject_id, observed_at, id);
CREATE INDEX catalogue_history_by_time ON catalogue_history (observed_at, id);

-- Certificates after their first reading: one row for each time that one vanished, returned, moved to another card or
-- got another grade. No card stands for: not shown.
CREATE TABLE certificate_history (
    id {id},
    grade_row_id bigint NOT NULL REFERENCES grade_rows (id),
    event text NOT NULL CHECK (event IN ('vanished', 'returned', 'moved', 'regraded')),
    observed_at {time} NOT NULL,
    run_id bigint,
    card_before bigint,
    grade_before text,
    card_after bigint,
    grade_after text
);
CREATE INDEX certificate_history_by_row ON certificate_history (grade_row_id, observed_at, id);
CREATE INDEX certificate_history_by_time ON certificate_history (observed_at, id);

-- Where a look at what is new begins.
CREATE INDEX grade_rows_by_first_seen ON grade_rows (first_seen_at, id);
CREATE INDEX population_history_by_time ON population_history (observed_at, id);

-- What had vanished before there was a record of it.
INSERT INTO certificate_history (grade_row_id, event, observed_at, card_before, grade_before)
SELECT id, 'vanished', vanished_at, card_id, grade_code FROM grade_rows WHERE vanished_at IS NOT NULL;

-- Triggers see the row before and after within the statement that changes it: whoever writes, no change goes by
-- unrecorded, and two writers cannot both record the same one.
--sqlite CREATE TRIGGER categories_presence AFTER UPDATE OF vanished_at ON categories WHEN (OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL) BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id) VALUES ('category', NEW.id, CASE WHEN NEW.vanished_at IS NULL THEN 'returned' ELSE 'vanished' END, coalesce(NEW.vanished_at, NEW.last_seen_at), NEW.seen_by_run); END;
--sqlite CREATE TRIGGER years_presence AFTER UPDATE OF vanished_at ON years WHEN (OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL) BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id) VALUES ('year', NEW.id, CASE WHEN NEW.vanished_at IS NULL THEN 'returned' ELSE 'vanished' END, coalesce(NEW.vanished_at, NEW.last_seen_at), NEW.seen_by_run); END;
--sqlite CREATE TRIGGER sets_presence AFTER UPDATE OF vanished_at ON sets WHEN (OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL) BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id) VALUES ('set', NEW.id, CASE WHEN NEW.vanished_at IS NULL THEN 'returned' ELSE 'vanished' END, coalesce(NEW.vanished_at, NEW.last_seen_at), NEW.seen_by_run); END;
--sqlite CREATE TRIGGER cards_presence AFTER UPDATE OF vanished_at ON cards WHEN (OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL) BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id) VALUES ('card', NEW.id, CASE WHEN NEW.vanished_at IS NULL THEN 'returned' ELSE 'vanished' END, coalesce(NEW.vanished_at, NEW.last_seen_at), NEW.seen_by_run); END;
--sqlite CREATE TRIGGER categories_names AFTER UPDATE OF name ON categories WHEN OLD.name <> NEW.name BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id, name_before, detail_before, name_after, detail_after) VALUES ('category', NEW.id, 'renamed', NEW.last_seen_at, NEW.seen_by_run, OLD.name, '', NEW.name, ''); END;
--sqlite CREATE TRIGGER sets_names AFTER UPDATE OF brand, name ON sets WHEN OLD.name <> NEW.name OR OLD.brand <> NEW.brand BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id, name_before, detail_before, name_after, detail_after) VALUES ('set', NEW.id, 'renamed', NEW.last_seen_at, NEW.seen_by_run, OLD.name, OLD.brand, NEW.name, NEW.brand); END;
--sqlite CREATE TRIGGER cards_names AFTER UPDATE OF name, variation ON cards WHEN OLD.name <> NEW.name OR OLD.variation <> NEW.variation BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id, name_before, detail_before, name_after, detail_after) VALUES ('card', NEW.id, 'renamed', NEW.last_seen_at, NEW.seen_by_run, OLD.name, OLD.variation, NEW.name, NEW.variation); END;
--sqlite CREATE TRIGGER grade_rows_changes AFTER UPDATE OF card_id, grade_code, vanished_at ON grade_rows WHEN (OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL) OR (NEW.vanished_at IS NULL AND (OLD.card_id <> NEW.card_id OR OLD.grade_code <> NEW.grade_code)) BEGIN INSERT INTO certificate_history (grade_row_id, event, observed_at, run_id, card_before, grade_before, card_after, grade_after) VALUES (NEW.id, CASE WHEN NEW.vanished_at IS NOT NULL THEN 'vanished' WHEN OLD.vanished_at IS NOT NULL THEN 'returned' WHEN OLD.card_id <> NEW.card_id THEN 'moved' ELSE 'regraded' END, coalesce(NEW.vanished_at, NEW.last_seen_at), NEW.seen_by_run, CASE WHEN OLD.vanished_at IS NULL THEN OLD.card_id END, CASE WHEN OLD.vanished_at IS NULL THEN OLD.grade_code END, CASE WHEN NEW.vanished_at IS NULL THEN NEW.card_id END, CASE WHEN NEW.vanished_at IS NULL THEN NEW.grade_code END); END;
--postgres CREATE FUNCTION record_presence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id) VALUES (TG_ARGV[0], NEW.id, CASE WHEN NEW.vanished_at IS NULL THEN 'returned' ELSE 'vanished' END, coalesce(NEW.vanished_at, NEW.last_seen_at), NEW.seen_by_run); RETURN NULL; END $$;
--postgres CREATE FUNCTION record_category_name() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id, name_before, detail_before, name_after, detail_after) VALUES ('category', NEW.id, 'renamed', NEW.last_seen_at, NEW.seen_by_run, OLD.name, '', NEW.name, ''); RETURN NULL; END $$;
--postgres CREATE FUNCTION record_set_name() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id, name_before, detail_before, name_after, detail_after) VALUES ('set', NEW.id, 'renamed', NEW.last_seen_at, NEW.seen_by_run, OLD.name, OLD.brand, NEW.name, NEW.brand); RETURN NULL; END $$;
--postgres CREATE FUNCTION record_card_name() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO catalogue_history (subject, subject_id, event, observed_at, run_id, name_before, detail_before, name_after, detail_after) VALUES ('card', NEW.id, 'renamed', NEW.last_seen_at, NEW.seen_by_run, OLD.name, OLD.variation, NEW.name, NEW.variation); RETURN NULL; END $$;
--postgres CREATE FUNCTION record_certificate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO certificate_history (grade_row_id, event, observed_at, run_id, card_before, grade_before, card_after, grade_after) VALUES (NEW.id, CASE WHEN NEW.vanished_at IS NOT NULL THEN 'vanished' WHEN OLD.vanished_at IS NOT NULL THEN 'returned' WHEN OLD.card_id <> NEW.card_id THEN 'moved' ELSE 'regraded' END, coalesce(NEW.vanished_at, NEW.last_seen_at), NEW.seen_by_run, CASE WHEN OLD.vanished_at IS NULL THEN OLD.card_id END, CASE WHEN OLD.vanished_at IS NULL THEN OLD.grade_code END, CASE WHEN NEW.vanished_at IS NULL THEN NEW.card_id END, CASE WHEN NEW.vanished_at IS NULL THEN NEW.grade_code END); RETURN NULL; END $$;
--postgres CREATE TRIGGER categories_presence AFTER UPDATE ON categories FOR EACH ROW WHEN ((OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL)) EXECUTE FUNCTION record_presence('category');
--postgres CREATE TRIGGER years_presence AFTER UPDATE ON years FOR EACH ROW WHEN ((OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL)) EXECUTE FUNCTION record_presence('year');
--postgres CREATE TRIGGER sets_presence AFTER UPDATE ON sets FOR EACH ROW WHEN ((OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL)) EXECUTE FUNCTION record_presence('set');
--postgres CREATE TRIGGER cards_presence AFTER UPDATE ON cards FOR EACH ROW WHEN ((OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL)) EXECUTE FUNCTION record_presence('card');
--postgres CREATE TRIGGER categories_names AFTER UPDATE ON categories FOR EACH ROW WHEN (OLD.name <> NEW.name) EXECUTE FUNCTION record_category_name();
--postgres CREATE TRIGGER sets_names AFTER UPDATE ON sets FOR EACH ROW WHEN (OLD.name <> NEW.name OR OLD.brand <> NEW.brand) EXECUTE FUNCTION record_set_name();
--postgres CREATE TRIGGER cards_names AFTER UPDATE ON cards FOR EACH ROW WHEN (OLD.name <> NEW.name OR OLD.variation <> NEW.variation) EXECUTE FUNCTION record_card_name();
--postgres CREATE TRIGGER grade_rows_changes AFTER UPDATE ON grade_rows FOR EACH ROW WHEN ((OLD.vanished_at IS NULL) <> (NEW.vanished_at IS NULL) OR (NEW.vanished_at IS NULL AND (OLD.card_id <> NEW.card_id OR OLD.grade_code <> NEW.grade_code))) EXECUTE FUNCTION record_certificate();

-- The views speak of what is listed.
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
