-- One row for each key. Times are milliseconds since the Unix epoch by this server's clock.
CREATE TABLE IF NOT EXISTS idempotency_records (
    key         text COLLATE "C" PRIMARY KEY,
    version     bigint NOT NULL,
    status      text   NOT NULL, -- processing, completed, failed, released
    owner       bytea  NOT NULL, -- 16 bytes; every write compares it
    fence       bigint NOT NULL,
    fingerprint bytea  NOT NULL, -- 33 bytes: operation and arguments
    on_crash    text   NOT NULL, -- retry, park
    recovered   bigint NOT NULL, -- 1 where the owner took over from one that died, else 0
    lease_ms    bigint NOT NULL,
    ttl_ms      bigint NOT NULL,
    lease_until bigint NOT NULL, -- others may take over from then on
    expires_at  bigint NOT NULL, -- the row counts as gone from then on; 253402300799999: never
    purge_after bigint NOT NULL, -- `purge` looks at the row from then on; never after expires_at
    finished_at bigint,
    codec       text,
    payload     bytea,
    failure     text,            -- error, too_large, unserializable, indeterminate
    message     bytea,           -- the error's text in UTF-8, which may hold what `text` refuses
    size        bigint           -- bytes of payload and message, or of the result that was too large
);

-- For `purge`, which removes the rows whose retention is over. Completing a record soon after its claim leaves the column as it is.
CREATE INDEX IF NOT EXISTS idempotency_records_purge_after ON idempotency_records (purge_after);
