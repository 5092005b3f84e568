//! Records in SQLite, version 3.42 or later.

mod check;
mod connect;
mod error;
mod link;
mod migrate;
mod statements;
mod storage;
mod transaction;
mod verbs;

pub use self::connect::SqliteBuilder;
pub use self::storage::SqliteStorage;
