//! Postgres.

use futures_util::future::BoxFuture;
use idem_runtime::internal::sql::{Migration, Migrations, Quote, Table};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres, Transaction};

use super::{DEFAULT_TABLE, OutboxDialect, Refusal, Statements, driver_types};

/// This moment, in milliseconds since the Unix epoch.
const NOW: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

impl OutboxDialect for Postgres {
    const PRODUCT: &'static str = "postgres";
    const QUOTE: Quote = Quote::Double;
    const MIGRATIONS: Migrations = Migrations {
        table: DEFAULT_TABLE,
        steps: &[Migration { version: 1, sql: super::POSTGRES_SCHEMA }],
    };
    const SCHEMA: &'static str = "`idempotency::outbox::POSTGRES_SCHEMA`";

    const BEGIN: Option<&'static str> = Some(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'; \
         SET LOCAL statement_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '10s'",
    );

    driver_types!();

    fn statements(table: &Table) -> Statements {
        let table = table.records();
        let owned = "jsonb_to_recordset($1::text::jsonb) AS a (seq bigint, owner text)";
        let own = "r.seq = a.seq AND r.owner = a.owner";
        let dead = "r.id::text, r.topic, r.key, r.payload, r.enqueued_at, r.attempts, r.last_error, r.dead_at, r.seq, \
                    CASE WHEN r.lane IS NULL THEN 0 ELSE 1 END::bigint";
        Statements {
            insert: format!(
                "INSERT INTO {table} (id, lane, topic, key, payload, enqueued_at, available_at, attempts)
                 VALUES ($1::text::uuid, $2, $3, $4, $5, {NOW}, 0, 0)"
            )
            .into(),
            list_pending: format!(
                "WITH RECURSIVE lanes (lane, n) AS (
                     (SELECT o.lane, 1 FROM {table} AS o WHERE o.lane > $1 ORDER BY o.lane LIMIT 1)
                     UNION ALL
                     SELECT next.lane, l.n + 1
                     FROM lanes AS l, LATERAL (
                         SELECT o.lane FROM {table} AS o WHERE o.lane > l.lane ORDER BY o.lane LIMIT 1) AS next
                     WHERE l.n < $2)
                 SELECT l.lane, e.seq, CASE WHEN e.available_at <= clock.now_ms THEN 1 ELSE 0 END::bigint
                 FROM (SELECT {NOW} AS now_ms) AS clock, lanes AS l, LATERAL (
                     SELECT o.seq, o.available_at FROM {table} AS o WHERE o.lane = l.lane ORDER BY o.seq LIMIT $3) AS e
                 ORDER BY l.lane, e.seq"
            )
            .into(),
            #[cfg(feature = "mysql")]
            lane_events: "".into(),
            lease: format!(
                "WITH clock AS MATERIALIZED (SELECT {NOW} AS now_ms),
                 free AS MATERIALIZED (
                     SELECT r.seq FROM {table} AS r
                     WHERE r.seq = ANY (ARRAY(SELECT jsonb_array_elements_text($1::text::jsonb)::bigint))
                         AND r.lane IS NOT NULL AND r.available_at <= (SELECT now_ms FROM clock)
                     ORDER BY r.seq
                     FOR UPDATE OF r SKIP LOCKED)
                 UPDATE {table} AS r SET owner = $2, available_at = clock.now_ms + $3
                 FROM free, clock WHERE r.seq = free.seq
                 RETURNING r.seq, r.lane, r.id::text, r.topic, r.key, r.payload, r.enqueued_at, r.attempts"
            )
            .into(),
            #[cfg(feature = "mysql")]
            leased: "".into(),
            renew: format!(
                "UPDATE {table} AS r SET available_at = {NOW} + $2 FROM {owned} WHERE {own} RETURNING r.seq"
            )
            .into(),
            #[cfg(feature = "mysql")]
            owned: "".into(),
            remove: format!("DELETE FROM {table} AS r USING {owned} WHERE {own}").into(),
            nack: format!(
                "UPDATE {table} AS r
                 SET owner = NULL,
                     attempts = r.attempts + a.failed,
                     last_error = coalesce(a.error, r.last_error),
                     dead_at = CASE WHEN a.dead > 0 THEN {NOW} END,
                     available_at = CASE WHEN a.dead > 0 THEN 9223372036854775807 ELSE {NOW} + a.delay END,
                     lane = CASE WHEN a.dead <> 1 THEN r.lane END
                 FROM jsonb_to_recordset($1::text::jsonb)
                     AS a (seq bigint, owner text, delay bigint, failed bigint, dead bigint, error text)
                 WHERE {own}"
            )
            .into(),
            dead: format!(
                "SELECT {dead} FROM {table} AS r WHERE r.dead_at IS NOT NULL ORDER BY r.dead_at, r.seq LIMIT $1"
            )
            .into(),
            dead_one: format!(
                "SELECT {dead} FROM {table} AS r WHERE r.dead_at IS NOT NULL AND r.id = $1::text::uuid FOR UPDATE"
            )
            .into(),
            revive: format!(
                "UPDATE {table} SET lane = $1, dead_at = NULL, available_at = 0, attempts = 0 WHERE seq = $2"
            )
            .into(),
            append: format!(
                "INSERT INTO {table} (id, lane, topic, key, payload, enqueued_at, available_at, attempts, last_error)
                 SELECT id, $1, topic, key, payload, enqueued_at, 0, 0, last_error FROM {table} WHERE seq = $2"
            )
            .into(),
            discard: format!("DELETE FROM {table} WHERE seq = $1").into(),
        }
    }

    fn begin_writing(
        connection: &mut PgConnection,
    ) -> BoxFuture<'_, sqlx::Result<Transaction<'_, Self>>> {
        Box::pin(connection.begin())
    }

    fn classify(error: &dyn DatabaseError) -> Refusal {
        match error.code().as_deref().unwrap_or_default() {
            "42P01" | "3F000" => Refusal::MissingTable,
            "42703" => Refusal::OtherColumns,
            code if ["28", "3D", "42"].iter().any(|class| code.starts_with(class)) => {
                Refusal::Denied
            }
            _ => Refusal::Transient,
        }
    }
}
