-- One row for each event that has not been published. Times are milliseconds since the Unix epoch by this server's clock.
CREATE TABLE IF NOT EXISTS idempotency_outbox (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           uuid   NOT NULL, -- the same in every delivery
    lane         bigint,          -- hash of topic and key: events of a lane go in the order of `seq`; null for dead letters that block nothing
    topic        text   NOT NULL,
    key          text   NOT NULL,
    payload      bytea  NOT NULL,
    enqueued_at  bigint NOT NULL,
    available_at bigint NOT NULL, -- no relay takes it before: until then it is leased, or waits for its next attempt
    owner        text,            -- 32 hex digits; every write of a relay compares it
    attempts     bigint NOT NULL, -- those that failed
    last_error   text,
    dead_at      bigint           -- it was given up then
) WITH (fillfactor = 85);

CREATE INDEX IF NOT EXISTS idempotency_outbox_lane ON idempotency_outbox (lane, seq) WHERE lane IS NOT NULL;
CREATE INDEX IF NOT EXISTS idempotency_outbox_dead ON idempotency_outbox (dead_at, seq) WHERE dead_at IS NOT NULL;
