//! Records in a SQL database, one row for each key: Postgres, SQLite.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod conditions;
mod fault;
mod group;
mod janitor;
mod migrate;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;
mod wakeups;

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
