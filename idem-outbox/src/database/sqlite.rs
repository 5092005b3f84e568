//! SQLite.

use futures_util::future::BoxFuture;
use idem_runtime::internal::sql::{Migration, Migrations, Quote, Table};
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite, Transaction};

use super::{DEFAULT_TABLE, OutboxDialect, Refusal, Statements, driver_types};

/// This moment, in milliseconds since the Unix epoch: the same in a whole statement.
const NOW: &str = "CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)";

impl OutboxDialect for Sqlite {
    const PRODUCT: &'static str = "sqlite";
    const QUOTE: Quote = Quote::Double;
    const MIGRATIONS: Migrations = Migrations {
        table: DEFAULT_TABLE,
        steps: &[Migration { version: 1, sql: super::SQLITE_SCHEMA }],
    };
    const SCHEMA: &'static str = "`idempotency::outbox::SQLITE_SCHEMA`";

    driver_types!();

    fn statements(table: &Table) -> Statements {
        let table = table.records();
        // The rows that a batch names and that are still its owner's.
        let own = format!(
            "seq IN (SELECT r.seq FROM json_each(?1) AS a CROSS JOIN {table} AS r
                     ON r.seq = a.value ->> 'seq' AND r.owner = a.value ->> 'owner')"
        );
        let dead = "r.id, r.topic, r.key, r.payload, r.enqueued_at, r.attempts, r.last_error, r.dead_at, r.seq, \
                    r.lane IS NOT NULL";
        Statements {
            insert: format!(
                "INSERT INTO {table} (id, lane, topic, key, payload, enqueued_at, available_at, attempts)
                 VALUES (?1, ?2, ?3, ?4, ?5, {NOW}, 0, 0)"
            )
            .into(),
            list_pending: format!(
                "WITH RECURSIVE lanes (lane, n) AS (
                     SELECT (SELECT o.lane FROM {table} AS o WHERE o.lane > ?1 ORDER BY o.lane LIMIT 1), 1
                     UNION ALL
                     SELECT (SELECT o.lane FROM {table} AS o WHERE o.lane > l.lane ORDER BY o.lane LIMIT 1), l.n + 1
                     FROM lanes AS l WHERE l.lane IS NOT NULL AND l.n < ?2)
                 SELECT l.lane, e.seq, e.available_at <= {NOW}
                 FROM lanes AS l CROSS JOIN {table} AS e ON e.seq IN (
                     SELECT o.seq FROM {table} AS o WHERE o.lane = l.lane ORDER BY o.seq LIMIT ?3)
                 ORDER BY l.lane, e.seq"
            )
            .into(),
            #[cfg(feature = "mysql")]
            lane_events: "".into(),
            lease: format!(
                "UPDATE {table} SET owner = ?2, available_at = {NOW} + ?3
                 WHERE seq IN (SELECT value FROM json_each(?1)) AND lane IS NOT NULL AND available_at <= {NOW}
                 RETURNING seq, lane, id, topic, key, payload, enqueued_at, attempts"
            )
            .into(),
            #[cfg(feature = "mysql")]
            leased: "".into(),
            renew: format!("UPDATE {table} SET available_at = {NOW} + ?2 WHERE {own} RETURNING seq").into(),
            #[cfg(feature = "mysql")]
            owned: "".into(),
            remove: format!("DELETE FROM {table} WHERE {own}").into(),
            nack: format!(
                "UPDATE {table} AS r
                 SET owner = NULL,
                     attempts = r.attempts + a.failed,
                     last_error = coalesce(a.error, r.last_error),
                     dead_at = CASE WHEN a.dead > 0 THEN {NOW} END,
                     available_at = CASE WHEN a.dead > 0 THEN 9223372036854775807 ELSE {NOW} + a.delay END,
                     lane = CASE WHEN a.dead <> 1 THEN r.lane END
                 FROM (SELECT value ->> 'seq' AS seq, value ->> 'owner' AS owner, value ->> 'delay' AS delay,
                              value ->> 'failed' AS failed, value ->> 'dead' AS dead, value ->> 'error' AS error
                       FROM json_each(?1)) AS a
                 WHERE r.seq = a.seq AND r.owner = a.owner"
            )
            .into(),
            dead: format!(
                "SELECT {dead} FROM {table} AS r WHERE r.dead_at IS NOT NULL ORDER BY r.dead_at, r.seq LIMIT ?1"
            )
            .into(),
            dead_one: format!("SELECT {dead} FROM {table} AS r WHERE r.dead_at IS NOT NULL AND r.id = ?1").into(),
            revive: format!(
                "UPDATE {table} SET lane = ?1, dead_at = NULL, available_at = 0, attempts = 0 WHERE seq = ?2"
            )
            .into(),
            append: format!(
                "INSERT INTO {table} (id, lane, topic, key, payload, enqueued_at, available_at, attempts, last_error)
                 SELECT id, ?1, topic, key, payload, enqueued_at, 0, 0, last_error FROM {table} WHERE seq = ?2"
            )
            .into(),
            discard: format!("DELETE FROM {table} WHERE seq = ?1").into(),
        }
    }

    fn begin_writing(
        connection: &mut SqliteConnection,
    ) -> BoxFuture<'_, sqlx::Result<Transaction<'_, Self>>> {
        Box::pin(connection.begin_with("BEGIN IMMEDIATE"))
    }

    fn classify(error: &dyn DatabaseError) -> Refusal {
        let code: u32 = error.code().and_then(|code| code.parse().ok()).unwrap_or_default();
        match code & 0xff {
            1 if error.message().contains("no such table") => Refusal::MissingTable,
            1 if error.message().contains("column") => Refusal::OtherColumns,
            // A mistake in a statement, a file that is read-only, damaged, not to be opened or no
            // database.
            1 | 8 | 11 | 14 | 26 => Refusal::Denied,
            _ => Refusal::Transient,
        }
    }
}
