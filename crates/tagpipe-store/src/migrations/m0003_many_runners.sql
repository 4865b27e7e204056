-- Many runners on one run: which process one is, what it is doing, why it ended; who closes a run; who watches it.

-- Machine, process namespace and start of the process: an id alone may have passed to another program.
ALTER TABLE runners ADD COLUMN process_mark text NOT NULL DEFAULT '';
ALTER TABLE runners ADD COLUMN current_page text NOT NULL DEFAULT '';   -- key of a page in hand; empty if none
ALTER TABLE runners ADD COLUMN memory_bytes bigint NOT NULL DEFAULT 0;  -- its browser's included
ALTER TABLE runners ADD COLUMN ended_why text NOT NULL DEFAULT '';

-- The one runner that compares the sums and writes the end, for a term as a lease has one.
ALTER TABLE runs ADD COLUMN closing_by text;
ALTER TABLE runs ADD COLUMN closing_until {time};

-- Grows each time the brake closes further: a slot taken before that was taken at a pace that no longer holds.
ALTER TABLE pace ADD COLUMN closures bigint NOT NULL DEFAULT 0;
ALTER TABLE pace DROP COLUMN refused_page;      -- a not-found screen is now judged by what else the site gives

-- The process that starts, watches and replaces the runners of a run: at most one.
CREATE TABLE orchestrators (
    run_id bigint PRIMARY KEY REFERENCES runs (id),
    instance text NOT NULL,                 -- a fresh UUID for each process
    host text NOT NULL,
    pid bigint NOT NULL,
    process_mark text NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'finished')),
    runners_wanted bigint NOT NULL,
    started_at {time} NOT NULL,
    heartbeat_at {time} NOT NULL
);

-- A heartbeat changes the end of a lease and nothing that an index holds: PostgreSQL can then leave the indexes alone.
DROP INDEX frontier_leased;
CREATE INDEX frontier_leased ON frontier (run_id, lease_owner) WHERE state = 'leased';
-- Each claim passes what earlier ones have left at the head of the index until vacuum has cleaned it away: soon, then.
--postgres ALTER TABLE frontier SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0.01, autovacuum_analyze_threshold = 10000);
