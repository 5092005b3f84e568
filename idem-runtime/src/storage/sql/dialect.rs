//! What migrations need of a database.

use futures_util::future::BoxFuture;
use sqlx::{Database, Error};

/// A database as the migrator talks to it.
pub trait Dialect: Database {
    /// The columns of the table of applied migrations, and what follows them.
    const MIGRATIONS_TABLE: &'static str;

    /// The statements after the last of a migration.
    const COMMIT: &'static str = "COMMIT";

    /// The statements before the first of a migration. They wait for other migrations of the same
    /// tables, which have the same `lock`.
    fn begin_migration(lock: i64) -> String;

    /// The statement that notes an applied version, which may be noted already.
    fn note_version(migrations: &str, version: i64) -> String;

    /// Runs statements without arguments, unprepared.
    fn run_raw(
        connection: &mut Self::Connection,
        sql: String,
    ) -> BoxFuture<'_, sqlx::Result<Vec<Self::Row>>>;

    /// Reads an integer.
    fn integer(row: &Self::Row, column: usize) -> sqlx::Result<i64>;

    /// Whether another connection holds a lock for which the database does not wait itself.
    fn is_busy(_error: &Error) -> bool {
        false
    }
}

/// Methods whose text is the same for every database, and whose types are not.
macro_rules! raw_statements {
    () => {
        fn run_raw(
            connection: &mut Self::Connection,
            sql: String,
        ) -> futures_util::future::BoxFuture<'_, sqlx::Result<Vec<Self::Row>>> {
            // The text has our own statements, numbers and checked names in it.
            Box::pin(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_all(connection))
        }

        fn integer(row: &Self::Row, column: usize) -> sqlx::Result<i64> {
            sqlx::Row::try_get(row, column)
        }
    };
}
pub(super) use raw_statements;
