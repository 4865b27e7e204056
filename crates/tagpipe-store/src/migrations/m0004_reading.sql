-- What a row showed when its page was last read whole: a page that would show the same is not read again.

-- `changes` grows each time the row shows other counts, `read_changes` is its value at the last whole reading of the
-- page that lists the row's children; -1 if that reading does not count any more. A page is due when the two differ.
ALTER TABLE years ADD COLUMN changes bigint NOT NULL DEFAULT 1;
ALTER TABLE years ADD COLUMN read_changes bigint NOT NULL DEFAULT -1;
ALTER TABLE years ADD COLUMN read_at {time};
ALTER TABLE sets ADD COLUMN changes bigint NOT NULL DEFAULT 1;
ALTER TABLE sets ADD COLUMN read_changes bigint NOT NULL DEFAULT -1;
ALTER TABLE sets ADD COLUMN read_at {time};
ALTER TABLE sets ADD COLUMN verified_at {time};         -- last time its sums agreed
ALTER TABLE cards ADD COLUMN changes bigint NOT NULL DEFAULT 1;
ALTER TABLE cards ADD COLUMN read_changes bigint NOT NULL DEFAULT -1;
ALTER TABLE cards ADD COLUMN read_at {time};
ALTER TABLE cards ADD COLUMN verified_at {time};        -- last time its sums agreed
CREATE INDEX years_due ON years (id) WHERE changes <> read_changes;
CREATE INDEX sets_due ON sets (id) WHERE changes <> read_changes;
CREATE INDEX cards_due ON cards (id) WHERE changes <> read_changes;

-- `changes` of the page's row when the page was added: what was read afterwards is at least as new.
ALTER TABLE frontier ADD COLUMN subject_changes bigint;
-- Pages that are read although they could have been left out, to see what leaving out misses: 1 for such a page, …
ALTER TABLE frontier ADD COLUMN audited bigint NOT NULL DEFAULT 0;
-- … and the rows of a page that were new, other or gone when it was read.
ALTER TABLE frontier ADD COLUMN rows_moved bigint;

-- By which profile the rows were read. Another version means that everything is read again.
CREATE TABLE reading (
    site text PRIMARY KEY,
    profile text NOT NULL,
    version text NOT NULL
);
