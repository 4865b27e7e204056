-- The first schema, for both engines. {id}, {time}, {json} and {double} stand for each engine's own types;
-- a line that starts with --sqlite or --postgres is for that engine alone.

-- The catalogue: what the report shows. --------------------------------------------------------------------

CREATE TABLE categories (
    id {id},
    name text NOT NULL,
    name_key text NOT NULL UNIQUE,          -- without accents and case: one category, however it is spelled
    url text NOT NULL,
    first_seen_at {time} NOT NULL,
    changed_at {time} NOT NULL,             -- last time a value differed from the reading before
    last_seen_at {time} NOT NULL
);

-- natural_key is the bounded form of the identifying texts: a 10,000-character name must not fail an index.
CREATE TABLE years (
    id {id},
    category_id bigint NOT NULL REFERENCES categories (id),
    natural_key text NOT NULL,
    year text NOT NULL,
    sets_count bigint NOT NULL,
    items_count bigint NOT NULL,
    graded_count bigint NOT NULL,
    url text NOT NULL,
    first_seen_at {time} NOT NULL,
    changed_at {time} NOT NULL,             -- last time a value differed from the reading before
    last_seen_at {time} NOT NULL,
    UNIQUE (category_id, natural_key)
);

CREATE TABLE sets (
    id {id},
    year_id bigint NOT NULL REFERENCES years (id),
    natural_key text NOT NULL,
    brand text NOT NULL,
    name text NOT NULL,
    url text NOT NULL,
    counts {json} NOT NULL,
    total bigint NOT NULL,
    first_seen_at {time} NOT NULL,
    changed_at {time} NOT NULL,             -- last time a value differed from the reading before
    last_seen_at {time} NOT NULL,
    UNIQUE (year_id, natural_key)
);

CREATE TABLE cards (
    id {id},
    set_id bigint NOT NULL REFERENCES sets (id),
    natural_key text NOT NULL,
    number text NOT NULL,
    name text NOT NULL,
    variation text NOT NULL,
    url text NOT NULL,
    counts {json} NOT NULL,
    total bigint NOT NULL,
    first_seen_at {time} NOT NULL,
    changed_at {time} NOT NULL,             -- last time a value differed from the reading before
    last_seen_at {time} NOT NULL,
    UNIQUE (set_id, natural_key)
);

CREATE TABLE grade_rows (
    id {id},
    cert_number text NOT NULL UNIQUE,
    card_id bigint NOT NULL REFERENCES cards (id),
    rank bigint,
    grade_text text NOT NULL,
    grade {double},                         -- null for a grade without a number (VA)
    grade_label text NOT NULL,
    grade_code text NOT NULL,               -- the count column this certificate belongs to
    score bigint,
    rank_by_grade bigint,
    chronology bigint,
    chron_by_grade bigint,
    completed_on date,
    report_url text NOT NULL,
    first_seen_at {time} NOT NULL,
    changed_at {time} NOT NULL,             -- last time a value differed from the reading before
    last_seen_at {time} NOT NULL,
    vanished_at {time}
);
CREATE INDEX grade_rows_by_card ON grade_rows (card_id);

-- One row per change, never per read.
CREATE TABLE population_history (
    id {id},
    subject text NOT NULL CHECK (subject IN ('set', 'card')),
    subject_id bigint NOT NULL,
    observed_at {time} NOT NULL,
    run_id bigint NOT NULL,
    counts {json} NOT NULL,
    total bigint NOT NULL
);
CREATE INDEX population_history_by_subject ON population_history (subject, subject_id, observed_at);

-- The grade scale of the profile that read the data: order and meaning of the count columns.
CREATE TABLE grade_scale (
    code text PRIMARY KEY,
    position bigint NOT NULL,
    grade {double},
    label text NOT NULL
);

-- Runs, runners, the frontier and the pace. ------------------------------------------------------------------

CREATE TABLE runs (
    id {id},
    state text NOT NULL CHECK (state IN ('running', 'interrupted', 'reconciled', 'disputed')),
    started_at {time} NOT NULL,
    finished_at {time},
    config {json} NOT NULL,
    summary {json}
);

CREATE TABLE runners (
    instance text PRIMARY KEY,              -- a fresh UUID for each process, whatever its name
    run_id bigint NOT NULL REFERENCES runs (id),
    runner_id text NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'finished', 'lost')),
    started_at {time} NOT NULL,
    heartbeat_at {time} NOT NULL,
    pages_completed bigint NOT NULL DEFAULT 0,
    pages_failed bigint NOT NULL DEFAULT 0,
    retries bigint NOT NULL DEFAULT 0,
    requests bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    rows_new bigint NOT NULL DEFAULT 0,
    rows_changed bigint NOT NULL DEFAULT 0,
    rows_same bigint NOT NULL DEFAULT 0,
    rows_vanished bigint NOT NULL DEFAULT 0,
    busy_ms bigint NOT NULL DEFAULT 0       -- time in which pages were in hand
);
CREATE INDEX runners_by_run ON runners (run_id);

-- How often pages were to be read again, by cause: one row per process, so that runners do not wait for
-- each other to count.
CREATE TABLE retry_counts (
    instance text NOT NULL REFERENCES runners (instance),
    cause text NOT NULL,
    retries bigint NOT NULL,
    PRIMARY KEY (instance, cause)
);

CREATE TABLE frontier (
    id {id},
    run_id bigint NOT NULL REFERENCES runs (id),
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 4),
    page_key text NOT NULL,
    url text NOT NULL,
    identity {json} NOT NULL,
    subject_id bigint,                      -- the row whose children the page lists; null for the categories
    expected bigint,                        -- what the parent's row promised: rows (sets) or copies (cards, grade rows)
    state text NOT NULL CHECK (state IN
        ('available', 'leased', 'retryable', 'completed', 'unchanged', 'failed', 'skipped', 'cancelled')),
    attempts bigint NOT NULL DEFAULT 0,
    failures bigint NOT NULL DEFAULT 0,
    refusals bigint NOT NULL DEFAULT 0,
    calm_not_founds bigint NOT NULL DEFAULT 0,
    verifications bigint NOT NULL DEFAULT 0, -- reads on top of the one, because sums disagreed
    rows_hash bigint,
    not_before {time},
    lease_owner text,
    lease_token text,
    lease_expires_at {time},
    last_outcome text,
    last_error text,
    elapsed_ms bigint,
    finished_at {time},
    UNIQUE (run_id, page_key),
    CHECK (state <> 'leased' OR (lease_owner IS NOT NULL AND lease_token IS NOT NULL AND lease_expires_at IS NOT NULL)),
    CHECK (state <> 'retryable' OR not_before IS NOT NULL)
);
-- Each index serves one question that is asked all the time, and holds only the pages it is about.
CREATE INDEX frontier_to_claim ON frontier (run_id, level DESC, id) WHERE state = 'available';
CREATE INDEX frontier_to_retry ON frontier (run_id, not_before) WHERE state = 'retryable';
CREATE INDEX frontier_leased ON frontier (lease_expires_at) WHERE state = 'leased';
CREATE INDEX frontier_by_state ON frontier (run_id, state, level);
CREATE INDEX frontier_by_subject ON frontier (run_id, level, subject_id);

-- One row per site: the pace of all runners of all machines on this database. Times in microseconds since 1970,
-- by the database's clock.
CREATE TABLE pace (
    site text PRIMARY KEY,
    next_slot_us bigint NOT NULL DEFAULT 0,
    last_slot_us bigint NOT NULL DEFAULT 0,
    blocked_until_us bigint NOT NULL DEFAULT 0,
    extra_us bigint NOT NULL DEFAULT 0,     -- what the brake adds to the interval
    refusals_in_row bigint NOT NULL DEFAULT 0,
    refused_page text NOT NULL DEFAULT '',  -- the page, while all refusals in the row were of one; else empty
    reason text NOT NULL DEFAULT ''
);

-- What happened, and what does not agree. --------------------------------------------------------------------

CREATE TABLE audit_logs (
    id {id},
    created_at {time} NOT NULL,
    level text NOT NULL CHECK (level IN ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')),
    kind text NOT NULL CHECK (kind IN ('operation', 'error', 'result')),
    runner_id text NOT NULL,
    run_id bigint,
    page_key text,
    operation text NOT NULL,
    message text NOT NULL,
    context {json} NOT NULL
);
CREATE INDEX audit_logs_by_level ON audit_logs (level, created_at DESC);
CREATE INDEX audit_logs_by_time ON audit_logs (created_at DESC);
CREATE INDEX audit_logs_by_run ON audit_logs (run_id, created_at DESC);

CREATE TABLE discrepancies (
    id {id},
    subject text NOT NULL CHECK (subject IN ('category', 'year', 'set', 'card', 'page')),
    subject_id bigint NOT NULL,
    page_key text NOT NULL,
    what text NOT NULL,
    expected text NOT NULL,
    expected_by text NOT NULL,
    found text NOT NULL,
    run_id bigint NOT NULL,
    created_at {time} NOT NULL,
    resolved_at {time}
);
CREATE INDEX discrepancies_open ON discrepancies (subject, subject_id) WHERE resolved_at IS NULL;

-- Views for people. ------------------------------------------------------------------------------------------

CREATE VIEW audit_operations AS SELECT * FROM audit_logs WHERE kind = 'operation';
CREATE VIEW audit_errors AS SELECT * FROM audit_logs WHERE kind = 'error';
CREATE VIEW audit_results AS SELECT * FROM audit_logs WHERE kind = 'result';

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
