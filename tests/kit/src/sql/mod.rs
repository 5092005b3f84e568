//! Real Postgres, MariaDB and MySQL servers.
//!
//! Each server listens on a port of its own on the loopback interface and keeps its data in a folder of its own. It is stopped, by its process
//! id, when its handle is dropped, and dies with the test process. No server that was there before is ever used or touched.
//!
//! | handle | is |
//! |---|---|
//! | [`SqlServer`] | one server, that can be killed, stopped and started again on its data |
//! | [`PgBouncer`] | a pooler before a Postgres server, in transaction mode |
//! | [`shared()`] | one server for all tests of a process; each takes a database of its own |
//!
//! The programs are `postgres` with `initdb` beside it, and `mariadbd` or `mysqld`; see [`Product`] for where they are looked for.
//!
//! Two things make a start quick. The data folder is made once, kept in the system's temporary folder, and copied for each server. And
//! servers that refuse to be run by root are run as `nobody` if the tests are run by root.

mod account;
mod family;
mod mysql;
mod options;
mod pgbouncer;
mod postgres;
mod product;
mod query;
mod server;
mod shared;
mod standby;
mod template;

pub use options::SqlServerBuilder;
pub use pgbouncer::PgBouncer;
pub use product::Product;
pub use query::query;
pub use server::SqlServer;
pub use shared::{SharedSql, shared};
