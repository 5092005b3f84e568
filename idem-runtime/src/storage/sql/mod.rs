//! Records in a SQL database, one row for each key: Postgres, MySQL or MariaDB, SQLite.
//!
//! ```no_run
//! # use idem_runtime as idempotency;
//! # #[cfg(feature = "postgres")]
//! # async fn example(pool: sqlx::PgPool) -> Result<(), idem_runtime::storage::StorageError> {
//! use idempotency::storage::PostgresStorage;
//!
//! // Beside the application's pool; or `PostgresStorage::connect("postgres://…")`.
//! let storage = PostgresStorage::new(pool);
//! storage.migrate().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each is a feature: `postgres`, `mysql`, `sqlite`. They use sqlx 0.9.
//!
//! # Tables
//!
//! `connect(url)` makes missing tables and upgrades older ones. A storage that is built from the
//! application's pool does so only in `migrate()`. Every process may call either at its start: a
//! migration runs in a transaction and under a lock, or, in MySQL, which has no transactional DDL,
//! in steps that may run twice. A migrations table lists what has been applied, and where the
//! tables are up to date it is read, without a lock and without the right to create tables.
//!
//! Applications that run their own migrations take the schema from [`POSTGRES_SCHEMA`],
//! [`MYSQL_SCHEMA`] or [`SQLITE_SCHEMA`]; `connect` leaves tables that work as they are. A storage
//! without its tables answers with an error of kind
//! [`Configuration`](super::StorageErrorKind::Configuration). Table and schema can be named; keys
//! are compared byte by byte whatever the database's collation.
//!
//! Times are whole milliseconds since the Unix epoch, in integers: they are the same in every
//! database, no session's time zone touches them, and sums of them are exact.
//! `to_timestamp(expires_at / 1000.0)` shows one in Postgres.
//!
//! # How a verb is decided
//!
//! | database | claim | renew, complete, release |
//! |---|---|---|
//! | Postgres | one statement: `INSERT … ON CONFLICT DO NOTHING`, and the existing row; a second one takes over a row that has expired, was released, or whose lease is over | one statement: `UPDATE` by key and owner; a read where that matches nothing |
//! | SQLite | a read; free rows by `INSERT … ON CONFLICT … RETURNING` | one statement; a read where that matches nothing |
//! | MySQL, MariaDB | a read; `INSERT` and conditional `UPDATE` | one statement to complete, after a read to renew and release; where it meets some of a batch, another read, by owner |
//!
//! A replay writes nothing and takes no lock. Every write repeats its conditions, so that an
//! earlier read is never trusted; a row that changed meanwhile is read again. What an unchanged row
//! means to a verb is decided by [`storage::transition`](crate::storage::transition), and the
//! statements are tested against that with random histories.
//!
//! The database's clock decides: `clock_timestamp()`, `UTC_TIMESTAMP`, and for SQLite, which has no
//! server, the clock of the machine.
//!
//! # Many verbs, one commit
//!
//! Verbs that arrive while a statement is running queue and go as one multi-row statement and one
//! commit; a lone verb goes at once. So a storage uses one connection for each kind of verb (on
//! MySQL two for claims and two for completions, whose commits the server groups), and more only
//! while a statement waits for a lock.
//!
//! # Connections and settings
//!
//! The connections are the storage's own, on a thread of the library's, with the options of the
//! application's pool if it is made from one. Nothing that bodies or callers do with that pool, or
//! with their runtimes, affects them. Each session gets the settings that the statements rely on
//! (isolation, commits, lock timeout), or, behind a pooler, each statement does. Nothing waits for
//! a lock on the server for longer than a second: a claim of a key that an open transaction holds
//! is answered `InProgress` then.
//!
//! # In a transaction of the application's
//!
//! With [`Idempotency::in_transaction`](crate::Idempotency::in_transaction), or the attribute's
//! option `tx`, the record is claimed and completed by the same statements in the application's own
//! transaction, and commits with what that does. See [`transaction`](crate::transaction).
//!
//! # Waiting
//!
//! Waiters of a key are woken at once by completions in their own process. For those of other
//! processes, all waiters of a process share one poll, about every 25 ms while there are any.
//! Postgres has `LISTEN`/`NOTIFY`, but every commit that notifies takes a lock of the whole server:
//! 64 callers reach 0.6 of their throughput without it (four processes listening;
//! `cargo xtask bench --quick --only postgres`, row *NOTIFY*). And it needs a session of its own,
//! which poolers do not give.
//!
//! # Poolers, TLS
//!
//! The storage's own statements leave nothing in a session but prepared statements; what those in
//! an application's transaction leave is said in [`transaction`](crate::transaction). `PgBouncer`
//! in transaction mode follows those from 1.21 on; for others there is
//! [`PostgresBuilder::prepared_statements`]. TLS is sqlx's: an application that needs it depends on
//! `sqlx` with one of its features `tls-rustls-ring-webpki`, `tls-rustls-aws-lc-rs` or
//! `tls-native-tls`, and says `?sslmode=verify-full` in the URL or the pool's options.
//!
//! # Removing what has expired
//!
//! An expired row counts as none at once and stays until `purge` removes it, or a claim of its key
//! replaces it. `spawn_janitor` purges in the background, in batches of 1000, and never touches a
//! live record; several processes may run one. What is parked, or would be if its owner died,
//! expires at the end of the year 9999.
//!
//! The index of `purge` is on `purge_after` and not on `expires_at`: the claim sets it to the
//! earliest moment at which its record can expire, and a completion soon after leaves it alone, so
//! that it changes no index (in Postgres: a heap-only update). `purge` asks for both.
//!
//! # What happens when something fails
//!
//! | at | then |
//! |---|---|
//! | the caller dies before a statement arrives | nothing happened |
//! | … between claim and complete | the lease runs out, and the crash policy in the row decides |
//! | the reply to a statement is lost | every verb of the batch is [`Indeterminate`](super::StorageErrorKind::Indeterminate); repeating it is safe |
//! | a caller is dropped | its verb goes on: batches run on the driver |
//! | the database aborts a statement (deadlock, serialization) | it is sent again, a bounded number of times |
//! | the database refuses a value | the verbs of the batch go one by one, and one is refused |
//! | a row cannot be read, or is of a newer version | the error says so, and the row stays as it is until it expires |
//! | the user lacks a right that a later verb needs | [`Configuration`](super::StorageErrorKind::Configuration), which names it: `connect` fails, or the first claim of a storage that is made from a pool |
//! | the server is a read-only replica | what would write is [`NotApplied`](super::StorageErrorKind::NotApplied). In Postgres every claim would; MySQL replays a result that the replica has |
//! | others hold all connections of the application's pool, or leave transactions open or aborted on them | nothing: the storage has connections of its own |
//! | an open transaction holds a row, or SQLite's write lock | claims of it are answered or refused within their patience; what owners write is tried again |
//!
//! # What it can lose
//!
//! - **Postgres, MySQL, MariaDB**: nothing that the primary has committed to disk. With
//!   `synchronous_commit = off`, `innodb_flush_log_at_trx_commit` other than 1, or an asynchronous
//!   replica that takes over, the last commits.
//! - **SQLite**: nothing in a file with `synchronous = FULL`, which a storage that opens the file
//!   sets; the last commits at a power failure otherwise, which
//!   [`warnings`](super::Storage::warnings) reports. In memory, everything when the process ends.

mod advisory_lock;
mod answers;
mod builder;
mod conditions;
pub(crate) mod connections;
mod database;
pub(crate) mod dialect;
#[cfg(all(feature = "_fuzzing", feature = "sqlite"))]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod janitor;
pub(crate) mod migrate;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement_error;
mod storage;
pub(crate) mod table;
pub(crate) mod transaction;
mod trial;
mod verb;
mod wakeups;

pub use builder::SqlBuilder;
#[cfg(feature = "mysql")]
pub use mysql::{MySqlBuilder, MySqlStorage};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBuilder, PostgresStorage};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteBuilder, SqliteStorage};
pub use storage::SqlStorage;

/// The tables of [`PostgresStorage`], as `migrate()` makes them under their default name.
///
/// ```sql
#[doc = include_str!("postgres/0001_records.sql")]
/// ```
#[cfg(feature = "postgres")]
pub const POSTGRES_SCHEMA: &str = include_str!("postgres/0001_records.sql");

/// The tables of [`SqliteStorage`], as `migrate()` makes them under their default name.
///
/// ```sql
#[doc = include_str!("sqlite/0001_records.sql")]
/// ```
#[cfg(feature = "sqlite")]
pub const SQLITE_SCHEMA: &str = include_str!("sqlite/0001_records.sql");

/// The tables of [`MySqlStorage`], as `migrate()` makes them under their default name.
///
/// ```sql
#[doc = include_str!("mysql/0001_records.sql")]
/// ```
#[cfg(feature = "mysql")]
pub const MYSQL_SCHEMA: &str = include_str!("mysql/0001_records.sql");
