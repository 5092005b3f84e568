-- One row for each event that has not been published. Times are milliseconds since the Unix epoch by this server's clock.
-- No statement compares topics or keys, so it does not matter which of them a collation takes for the same.
CREATE TABLE IF NOT EXISTS idempotency_outbox (
    seq          bigint NOT NULL AUTO_INCREMENT,
    id           char(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- the same in every delivery
    lane         bigint, -- hash of topic and key: events of a lane go in the order of `seq`; null for dead letters that block nothing
    topic        varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    `key`        varchar(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    payload      longblob NOT NULL,
    enqueued_at  bigint NOT NULL,
    available_at bigint NOT NULL, -- no relay takes it before: until then it is leased, or waits for its next attempt
    owner        varbinary(16), -- every write of a relay compares it
    attempts     bigint NOT NULL, -- those that failed
    last_error   text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    dead_at      bigint, -- it was given up then
    PRIMARY KEY (seq),
    KEY idempotency_outbox_lane (lane, seq),
    KEY idempotency_outbox_dead (dead_at, seq)
) ENGINE = InnoDB;
