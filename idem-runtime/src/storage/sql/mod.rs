//! Records in a SQL database, one row for each key: Postgres, MySQL or MariaDB, SQLite.

mod conditions;
mod fault;
mod group;
mod janitor;
mod migrate;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;
mod wakeups;

#[cfg(feature = "mysql")]
pub use mysql::{MySqlBuilder, MySqlStorage};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBuilder, PostgresStorage};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteBuilder, SqliteStorage, SqliteWarning};

/// The tables of [`PostgresStorage`], as `migrate()` makes them under their default name.
#[cfg(feature = "postgres")]
pub const POSTGRES_SCHEMA: &str = include_str!("postgres/0001_records.sql");

/// The tables of [`SqliteStorage`], as `migrate()` makes them under their default name.
#[cfg(feature = "sqlite")]
pub const SQLITE_SCHEMA: &str = include_str!("sqlite/0001_records.sql");

/// The tables of [`MySqlStorage`], as `migrate()` makes them under their default name.
#[cfg(feature = "mysql")]
pub const MYSQL_SCHEMA: &str = include_str!("mysql/0001_records.sql");
