-- One row for each key. Times are milliseconds since the Unix epoch by this server's clock.
-- The key is bytes: no collation takes `A`, `a` and `a ` for the same key.
CREATE TABLE IF NOT EXISTS idempotency_records (
    `key`       varbinary(1024) NOT NULL,
    version     bigint NOT NULL,
    status      varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- processing, completed, failed, released
    owner       varbinary(16) NOT NULL, -- 16 bytes; every write compares it
    fence       bigint NOT NULL,
    fingerprint varbinary(33) NOT NULL, -- 33 bytes: operation and arguments
    on_crash    varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- retry, park
    recovered   bigint NOT NULL, -- 1 where the owner took over from one that died, else 0
    lease_ms    bigint NOT NULL,
    ttl_ms      bigint NOT NULL,
    lease_until bigint NOT NULL, -- others may take over from then on
    expires_at  bigint NOT NULL, -- the row counts as gone from then on; 253402300799999: never
    purge_after bigint NOT NULL, -- `purge` looks at the row from then on; never after expires_at
    finished_at bigint,
    codec       varchar(16) CHARACTER SET ascii COLLATE ascii_bin,
    payload     longblob,
    failure     varchar(16) CHARACTER SET ascii COLLATE ascii_bin, -- error, too_large, unserializable, indeterminate
    message     longblob,                                          -- the error's text in UTF-8
    size        bigint,                                            -- bytes of payload and message, or of the result that was too large
    PRIMARY KEY (`key`),
    -- For `purge`, which removes the rows whose retention is over. Completing a record soon after its claim leaves the column as it is.
    KEY idempotency_records_purge_after (purge_after)
) ENGINE = InnoDB;
