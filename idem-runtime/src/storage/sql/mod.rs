//! Records in a SQL database, one row for each key: Postgres.

mod fault;
mod group;
mod janitor;
mod migrate;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
mod table;
mod wakeups;

#[cfg(feature = "postgres")]
pub use postgres::{PostgresBuilder, PostgresStorage};

/// The tables of [`PostgresStorage`], as `migrate()` makes them under their default name.
#[cfg(feature = "postgres")]
pub const POSTGRES_SCHEMA: &str = include_str!("postgres/0001_records.sql");
