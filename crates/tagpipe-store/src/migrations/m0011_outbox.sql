-- What people are told: news, recorded in the transaction of what it tells, and what became of it for each channel.

-- Up to when watches have looked at what this run has changed.
ALTER TABLE runs ADD COLUMN watched_until {time};
-- Since when the brake has not been open; 0 while it is. Microseconds since 1970.
ALTER TABLE pace ADD COLUMN closed_since_us bigint NOT NULL DEFAULT 0;

CREATE TABLE news (
    id {id},
    created_at {time} NOT NULL,
    kind text NOT NULL,
    level text NOT NULL CHECK (level IN ('info', 'warning', 'error', 'critical')),
    title text NOT NULL,
    text text NOT NULL,
    facts {json} NOT NULL,                  -- a list of names and values
    run_id bigint,
    unique_key text UNIQUE                  -- of what may be noticed more than once
);
CREATE INDEX news_by_time ON news (created_at, id);

-- Where news goes. What a channel is and what it is told stands in the settings.
CREATE TABLE news_channels (
    name text PRIMARY KEY,
    since {time} NOT NULL,                  -- what happened before is not for it
    seen_until {time},                      -- the newest news that was sorted in
    holder text NOT NULL DEFAULT '',        -- the process that sends to it, for a term as a lease has one
    held_until {time}
);

-- What is sent as one. Its id and its news stay the same however often it is sent, so that the receiver can drop doubles.
CREATE TABLE news_messages (
    id text PRIMARY KEY,
    channel text NOT NULL REFERENCES news_channels (name),
    state text NOT NULL CHECK (state IN ('open', 'sent', 'failed')),
    attempts bigint NOT NULL DEFAULT 0,
    not_before {time} NOT NULL,
    last_error text NOT NULL DEFAULT '',
    created_at {time} NOT NULL,
    ended_at {time}
);
CREATE INDEX news_messages_open ON news_messages (channel, created_at) WHERE state = 'open';

-- One row for a piece of news and a channel.
CREATE TABLE news_deliveries (
    news_id bigint NOT NULL REFERENCES news (id),
    channel text NOT NULL REFERENCES news_channels (name),
    state text NOT NULL CHECK (state IN ('left_out', 'waiting', 'packed')),
    message_id text REFERENCES news_messages (id),
    PRIMARY KEY (news_id, channel),
    CHECK ((state = 'packed') = (message_id IS NOT NULL))
);
CREATE INDEX news_deliveries_waiting ON news_deliveries (channel, news_id) WHERE state = 'waiting';
CREATE INDEX news_deliveries_by_message ON news_deliveries (message_id, news_id);

-- Cards and sets that somebody wants to hear of. Each part is a name, in which `*` stands for any text.
CREATE TABLE watches (
    id {id},
    subject text NOT NULL CHECK (subject IN ('set', 'card')),
    category text NOT NULL,
    year text NOT NULL,
    set_name text NOT NULL,
    card text NOT NULL,
    created_at {time} NOT NULL,
    UNIQUE (subject, category, year, set_name, card)
);
