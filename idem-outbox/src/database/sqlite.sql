-- One row for each event that has not been published. Times are milliseconds since the Unix epoch by this machine's clock.
CREATE TABLE IF NOT EXISTS idempotency_outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL, -- the same in every delivery
    lane         INTEGER,          -- hash of topic and key: events of a lane go in the order of `seq`; null for dead letters that block nothing
    topic        TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    payload      BLOB    NOT NULL,
    enqueued_at  INTEGER NOT NULL,
    available_at INTEGER NOT NULL, -- no relay takes it before: until then it is leased, or waits for its next attempt
    owner        TEXT,             -- 32 hex digits; every write of a relay compares it
    attempts     INTEGER NOT NULL, -- those that failed
    last_error   TEXT,
    dead_at      INTEGER           -- it was given up then
) STRICT;

CREATE INDEX IF NOT EXISTS idempotency_outbox_lane ON idempotency_outbox (lane, seq) WHERE lane IS NOT NULL;
CREATE INDEX IF NOT EXISTS idempotency_outbox_dead ON idempotency_outbox (dead_at, seq) WHERE dead_at IS NOT NULL;
