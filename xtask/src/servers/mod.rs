//! The servers that the tests run against.
//!
//! A server is looked for where the user says, then in `PATH` and where distributions put it, then in the target folder, and is fetched into
//! the target folder if need be: see [`debian`]; likewise [`faketime`], which is no server, and the [`clients`]. Nothing is installed on the machine, so nothing
//! needs root, no service is started, and `cargo clean` removes all of it.

pub(crate) mod clients;
mod debian;
pub(crate) mod faketime;
mod nats;
mod pgbouncer;
mod product;
mod redis;
mod sql;

pub(crate) use nats::nats;
pub(crate) use pgbouncer::pgbouncer;
pub(crate) use product::{Server, target};
pub(crate) use redis::{redis, valkey};
pub(crate) use sql::{mysql, postgres};
