//! Records in Postgres, version 13 or later.

mod check;
mod connect;
mod error;
mod link;
mod login;
mod migrate;
mod statements;
mod storage;
mod transaction;
mod verbs;
mod witness;

pub use self::connect::PostgresBuilder;
pub use self::storage::PostgresStorage;
