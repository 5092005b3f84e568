//! Records in MySQL, version 8.0 or later, or in MariaDB, version 10.6 or later.

mod arguments;
mod check;
mod completions;
mod connect;
mod error;
mod link;
mod login;
mod lookup;
mod migrate;
mod statements;
mod storage;
mod transaction;
mod values;
mod verbs;
mod witness;

pub use self::connect::MySqlBuilder;
pub use self::link::SETTINGS;
pub use self::storage::MySqlStorage;
