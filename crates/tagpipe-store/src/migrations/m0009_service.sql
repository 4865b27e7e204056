-- The service: when runs begin, who ordered them, how they are steered, and who may.

-- What people want of a run: its runners look at it with each heartbeat, wherever they are.
ALTER TABLE runs ADD COLUMN steering text NOT NULL DEFAULT 'go' CHECK (steering IN ('go', 'pause', 'stop'));

CREATE TABLE schedules (
    id {id},
    name text NOT NULL UNIQUE,
    cron text NOT NULL,                     -- five fields, or six with seconds
    time_zone text NOT NULL,                -- an IANA name
    options {json} NOT NULL,                -- settings of the run, key -> value
    enabled bigint NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    jitter_s bigint NOT NULL DEFAULT 0 CHECK (jitter_s >= 0),
    overlap text NOT NULL DEFAULT 'skip' CHECK (overlap IN ('skip', 'queue', 'stop')),
    catch_up_s bigint NOT NULL DEFAULT 0 CHECK (catch_up_s >= 0),
    source text NOT NULL DEFAULT 'people' CHECK (source IN ('people', 'settings')),
    created_at {time} NOT NULL,
    changed_at {time} NOT NULL              -- times before it are not this schedule's
);

-- A run that is wanted, until it has come to its end. One row for a schedule and a planned time: to insert it is the
-- election, with any number of services on one database. One row for a run: it is begun once.
CREATE TABLE run_orders (
    id {id},
    schedule_id bigint,                     -- null if people ordered it, and once the schedule is removed
    schedule_name text NOT NULL DEFAULT '',
    planned_at {time},                      -- the schedule's time
    due_at {time} NOT NULL,                 -- with its jitter
    idempotency_key text UNIQUE,
    ordered_by text NOT NULL,
    options {json} NOT NULL,
    when_busy text NOT NULL DEFAULT 'queue' CHECK (when_busy IN ('skip', 'queue', 'stop')),
    state text NOT NULL CHECK (state IN ('waiting', 'taken', 'suspended', 'ended', 'skipped', 'failed')),
    holder text NOT NULL DEFAULT '',        -- the service that looks after it, for a term as a lease has one
    held_until {time},
    run_id bigint UNIQUE REFERENCES runs (id),
    attempts bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',        -- why it is as it is, in words
    created_at {time} NOT NULL,
    ended_at {time},
    UNIQUE (schedule_id, planned_at)
);
CREATE INDEX run_orders_open ON run_orders (due_at) WHERE state IN ('waiting', 'taken', 'suspended');

-- Who may use the API: the secret itself is stored nowhere.
CREATE TABLE api_tokens (
    id {id},
    name text NOT NULL UNIQUE,
    scope text NOT NULL CHECK (scope IN ('read', 'control')),
    secret_hash text NOT NULL UNIQUE,       -- SHA-256, in hexadecimal
    created_at {time} NOT NULL,
    last_used_at {time},
    revoked_at {time}
);
