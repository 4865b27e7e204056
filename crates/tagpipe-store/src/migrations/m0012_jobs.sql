-- Exports and backups that the service is asked for, by people or by its settings' times.

-- To insert the row is the election, as with run_orders: one for a planned time, one for an idempotency key.
CREATE TABLE jobs (
    id {id},
    kind text NOT NULL CHECK (kind IN ('export', 'backup')),
    options {json} NOT NULL,                -- what is wanted, key -> value
    ordered_by text NOT NULL,
    planned_at {time},                      -- the time of the settings' timetable, if that ordered it
    idempotency_key text UNIQUE,
    state text NOT NULL CHECK (state IN ('waiting', 'working', 'done', 'failed', 'cancelled')),
    holder text NOT NULL DEFAULT '',        -- the service that does it, for a term as a lease has one
    held_until {time},
    attempts bigint NOT NULL DEFAULT 0,
    result {json},                          -- what the process said of it when it was done
    reason text NOT NULL DEFAULT '',        -- why it is as it is, in words
    created_at {time} NOT NULL,
    started_at {time},
    ended_at {time},
    UNIQUE (kind, planned_at)
);
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('waiting', 'working');
