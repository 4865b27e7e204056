-- What a run with a budget reads first: since when a page has probably been out of date. See `staleness.rs` of the core.

-- 'deepest': deeper levels first. 'stalest': what has been out of date longest first, for runs with a budget.
ALTER TABLE runs ADD COLUMN reading_order text NOT NULL DEFAULT 'deepest' CHECK (reading_order IN ('deepest', 'stalest'));
-- Microseconds since 1970; 0 if the page was never read, and for all pages of a run that reads the deepest first.
ALTER TABLE frontier ADD COLUMN stale_since_us bigint NOT NULL DEFAULT 0;
-- 1 for a page whose row was seen again while the page waited.
ALTER TABLE frontier ADD COLUMN seen_again bigint NOT NULL DEFAULT 0;
DROP INDEX frontier_to_claim;
CREATE INDEX frontier_to_claim ON frontier (run_id, stale_since_us, level DESC, id) WHERE state = 'available';

-- How often the row was seen (`changes` of these times it showed something else than the time before); when the page below
-- it was last read or given up. For a row whose page is due: when it last showed what it showed as the page was read, and
-- when it first did not.
ALTER TABLE years ADD COLUMN seen_times bigint NOT NULL DEFAULT 1;
ALTER TABLE years ADD COLUMN tried_at {time};
ALTER TABLE years ADD COLUMN same_until {time};
ALTER TABLE years ADD COLUMN differs_since {time};
ALTER TABLE sets ADD COLUMN seen_times bigint NOT NULL DEFAULT 1;
ALTER TABLE sets ADD COLUMN tried_at {time};
ALTER TABLE sets ADD COLUMN same_until {time};
ALTER TABLE sets ADD COLUMN differs_since {time};
ALTER TABLE cards ADD COLUMN seen_times bigint NOT NULL DEFAULT 1;
ALTER TABLE cards ADD COLUMN tried_at {time};
ALTER TABLE cards ADD COLUMN same_until {time};
ALTER TABLE cards ADD COLUMN differs_since {time};
-- Earlier looks were not counted: at least those that showed something else there were.
UPDATE years SET tried_at = read_at, seen_times = changes;
UPDATE sets SET tried_at = read_at, seen_times = changes;
UPDATE cards SET tried_at = read_at, seen_times = changes;

-- A category's row shows no counters: here it is its page, the years, that is seen, and shows something else or not.
ALTER TABLE categories ADD COLUMN seen_times bigint NOT NULL DEFAULT 0;
ALTER TABLE categories ADD COLUMN changes bigint NOT NULL DEFAULT 1;
ALTER TABLE categories ADD COLUMN tried_at {time};
ALTER TABLE categories ADD COLUMN read_at {time};
UPDATE categories SET read_at = (SELECT max(years.last_seen_at) FROM years WHERE years.category_id = categories.id);
UPDATE categories SET tried_at = read_at;
