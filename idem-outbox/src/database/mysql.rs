//! MySQL and MariaDB, which tell nothing of the rows that they change: those are read back by their
//! owner.
//!
//! Every write finds its rows by the primary key and commits by itself, so that it locks those
//! alone. Left to itself the database reads a small table whole, and locks it whole: hence the
//! order of the joins and the index.

use std::fmt::Write;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use idem_runtime::internal::sql::{Dialect, MYSQL_SETTINGS, Migration, Migrations, Quote, Table};
use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, Connection, Executor, MySql, Transaction};

use super::{
    DEFAULT_TABLE, OutboxDialect, PendingEvent, Refusal, Rows, Statements, Value, Window,
    driver_types, pending,
};

/// This moment, in milliseconds since the Unix epoch, in no session's time zone.
const NOW: &str =
    "(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(3)) DIV 1000)";

impl OutboxDialect for MySql {
    const PRODUCT: &'static str = "mysql";
    const QUOTE: Quote = Quote::Backtick;
    const MIGRATIONS: Migrations = Migrations {
        table: DEFAULT_TABLE,
        steps: &[Migration { version: 1, sql: super::MYSQL_SCHEMA }],
    };
    const SCHEMA: &'static str = "`idempotency::outbox::MYSQL_SCHEMA`";

    driver_types!();

    fn prepare(connection: &mut MySqlConnection) -> BoxFuture<'_, sqlx::Result<()>> {
        Box::pin(
            async move { Self::run_raw(connection, MYSQL_SETTINGS.to_owned()).await.map(drop) },
        )
    }

    fn statements(table: &Table) -> Statements {
        let lane_index = table.index("lane");
        let table = table.records();
        let rows = |columns: &str| {
            format!(
                "JSON_TABLE(?, '$[*]' COLUMNS ({columns})) AS a
                 STRAIGHT_JOIN {table} AS r FORCE INDEX (PRIMARY) ON r.seq = a.seq"
            )
        };
        let named = rows("seq bigint PATH '$'");
        let owned = rows("seq bigint PATH '$.seq', owner varchar(32) PATH '$.owner'");
        let failed = rows(
            "seq bigint PATH '$.seq', owner varchar(32) PATH '$.owner', delay bigint PATH '$.delay',
             failed bigint PATH '$.failed', dead bigint PATH '$.dead', error varchar(1000) CHARACTER SET utf8mb4 PATH '$.error'",
        );
        let own = "r.owner = UNHEX(a.owner)";
        let dead = "r.id, r.topic, r.`key`, r.payload, r.enqueued_at, r.attempts, r.last_error, r.dead_at, r.seq, \
                    CAST(r.lane IS NOT NULL AS SIGNED)";
        Statements {
            insert: format!(
                "INSERT INTO {table} (id, lane, topic, `key`, payload, enqueued_at, available_at, attempts)
                 VALUES (?, ?, ?, ?, ?, {NOW}, 0, 0)"
            )
            .into(),
            list_pending: format!(
                "SELECT s.lane, s.head, CAST(r.available_at <= {NOW} AS SIGNED)
                 FROM (SELECT o.lane, MIN(o.seq) AS head FROM {table} AS o FORCE INDEX ({lane_index})
                       WHERE o.lane > ? GROUP BY o.lane ORDER BY o.lane LIMIT ?) AS s
                 STRAIGHT_JOIN {table} AS r FORCE INDEX (PRIMARY) ON r.seq = s.head
                 ORDER BY s.lane"
            )
            .into(),
            lane_events: format!(
                "SELECT r.lane, r.seq, CAST(r.available_at <= {NOW} AS SIGNED) FROM {table} AS r FORCE INDEX ({lane_index})"
            )
            .into(),
            lease: format!(
                "UPDATE {named} SET r.owner = UNHEX(?), r.available_at = {NOW} + ?
                 WHERE r.lane IS NOT NULL AND r.available_at <= {NOW}"
            )
            .into(),
            leased: format!(
                "SELECT r.seq, r.lane, r.id, r.topic, r.`key`, r.payload, r.enqueued_at, r.attempts
                 FROM {named} WHERE r.owner = UNHEX(?)"
            )
            .into(),
            renew: format!("UPDATE {owned} SET r.available_at = {NOW} + ? WHERE {own}").into(),
            owned: format!("SELECT r.seq FROM {owned} WHERE {own}").into(),
            remove: format!("DELETE r FROM {owned} WHERE {own}").into(),
            nack: format!(
                "UPDATE {failed}
                 SET r.owner = NULL,
                     r.attempts = r.attempts + a.failed,
                     r.last_error = coalesce(a.error, r.last_error),
                     r.dead_at = CASE WHEN a.dead > 0 THEN {NOW} END,
                     r.available_at = CASE WHEN a.dead > 0 THEN 9223372036854775807 ELSE {NOW} + a.delay END,
                     r.lane = CASE WHEN a.dead <> 1 THEN r.lane END
                 WHERE {own}"
            )
            .into(),
            dead: format!(
                "SELECT {dead} FROM {table} AS r WHERE r.dead_at IS NOT NULL ORDER BY r.dead_at, r.seq LIMIT ?"
            )
            .into(),
            dead_one: format!(
                "SELECT {dead} FROM {table} AS r WHERE r.dead_at IS NOT NULL AND r.id = ? FOR UPDATE"
            )
            .into(),
            revive: format!(
                "UPDATE {table} SET lane = ?, dead_at = NULL, available_at = 0, attempts = 0 WHERE seq = ?"
            )
            .into(),
            append: format!(
                "INSERT INTO {table} (id, lane, topic, `key`, payload, enqueued_at, available_at, attempts, last_error)
                 SELECT id, ?, topic, `key`, payload, enqueued_at, 0, 0, last_error FROM {table} WHERE seq = ?"
            )
            .into(),
            discard: format!("DELETE FROM {table} WHERE seq = ?").into(),
        }
    }

    fn list_pending(
        connection: &mut MySqlConnection,
        statements: Arc<Statements>,
        window: Window,
    ) -> BoxFuture<'_, sqlx::Result<Vec<PendingEvent>>> {
        Box::pin(async move {
            let Window { after, lanes, events } = window;
            let arguments = [after, lanes].map(Value::Integer).to_vec();
            let rows =
                Self::fetch(connection, Arc::clone(&statements.list_pending), arguments).await?;
            let mut heads = pending::<Self>(&rows)?;
            let free: Vec<i64> =
                heads.iter().filter(|head| head.is_free).map(|head| head.lane).collect();
            if free.is_empty() || events < 2 {
                return Ok(heads);
            }
            // Neither MySQL nor MariaDB can limit a list for each row of another one. So the
            // statement is a union of one query for each lane.
            let events = first_events(&statements.lane_events, &free, events);
            let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(events))).await?;
            let mut events = pending::<Self>(&rows)?;
            // The order of a union is not defined.
            events.sort_unstable_by_key(|event| (event.lane, event.seq));
            heads.retain(|head| !head.is_free);
            heads.append(&mut events);
            Ok(heads)
        })
    }

    fn lease(
        connection: &mut MySqlConnection,
        statements: Arc<Statements>,
        arguments: Vec<Value>,
    ) -> Rows<'_, Self> {
        Box::pin(async move {
            let named = arguments.iter().take(2).cloned().collect();
            Self::execute(connection, Arc::clone(&statements.lease), arguments).await?;
            Self::fetch(connection, Arc::clone(&statements.leased), named).await
        })
    }

    fn renew(
        connection: &mut MySqlConnection,
        statements: Arc<Statements>,
        arguments: Vec<Value>,
    ) -> Rows<'_, Self> {
        Box::pin(async move {
            let named = arguments.iter().take(1).cloned().collect();
            Self::execute(connection, Arc::clone(&statements.renew), arguments).await?;
            Self::fetch(connection, Arc::clone(&statements.owned), named).await
        })
    }

    fn begin_writing(
        connection: &mut MySqlConnection,
    ) -> BoxFuture<'_, sqlx::Result<Transaction<'_, Self>>> {
        Box::pin(connection.begin())
    }

    fn classify(error: &dyn DatabaseError) -> Refusal {
        let number = error.try_downcast_ref().map_or(0, MySqlDatabaseError::number);
        match number {
            1146 => Refusal::MissingTable,
            1054 => Refusal::OtherColumns,
            1044..=1046 | 1049 | 1064 | 1130 | 1142 | 1143 | 1305 | 1370 | 1698 => Refusal::Denied,
            _ => Refusal::Transient,
        }
    }
}

/// The statement for the first events of lanes. The lanes' numbers are part of its text, so it is
/// not prepared.
fn first_events(lane_events: &str, lanes: &[i64], events: i64) -> String {
    let mut text = String::new();
    for (number, lane) in lanes.iter().enumerate() {
        let union = if number == 0 { "" } else { " UNION ALL " };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{union}({lane_events} WHERE r.lane = {lane} ORDER BY r.seq LIMIT {events})"
        );
    }
    text
}
