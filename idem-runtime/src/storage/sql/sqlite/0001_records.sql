-- One row for each key. Times are milliseconds since the Unix epoch by this machine's clock.
CREATE TABLE IF NOT EXISTS idempotency_records (
    key         TEXT    NOT NULL PRIMARY KEY COLLATE BINARY,
    version     INTEGER NOT NULL,
    status      TEXT    NOT NULL, -- processing, completed, failed, released
    owner       BLOB    NOT NULL, -- 16 bytes; every write compares it
    fence       INTEGER NOT NULL,
    fingerprint BLOB    NOT NULL, -- 33 bytes: operation and arguments
    on_crash    TEXT    NOT NULL, -- retry, park
    recovered   INTEGER NOT NULL, -- 1 where the owner took over from one that died, else 0
    lease_ms    INTEGER NOT NULL,
    ttl_ms      INTEGER NOT NULL,
    lease_until INTEGER NOT NULL, -- others may take over from then on
    expires_at  INTEGER NOT NULL, -- the row counts as gone from then on; 253402300799999: never
    purge_after INTEGER NOT NULL, -- `purge` looks at the row from then on; never after expires_at
    finished_at INTEGER,
    codec       TEXT,
    payload     BLOB,
    failure     TEXT,             -- error, too_large, unserializable, indeterminate
    message     BLOB,             -- the error's text in UTF-8
    size        INTEGER           -- bytes of payload and message, or of the result that was too large
) STRICT;

-- For `purge`, which removes the rows whose retention is over. Completing a record soon after its claim leaves the column as it is.
CREATE INDEX IF NOT EXISTS idempotency_records_purge_after ON idempotency_records (purge_after);
