//! Real Redis and Valkey servers.
//!
//! Each server listens on a port and in a folder of its own, on the loopback interface, so any number of tests and test processes run side
//! by side. It is stopped, by its process id, when its handle is dropped, and dies with the test process. No server that was there before is
//! ever used or touched.
//!
//! | handle | is |
//! |---|---|
//! | [`RedisServer`] | one server over TCP and a unix socket |
//! | [`SentinelSetup`] | a primary and two replicas, watched by three Sentinels that fail over |
//! | [`ClusterSetup`] | a Cluster of three masters, with replicas if wanted, whose slots can be moved |
//! | [`shared()`] | one server for all tests of a process, which keep out of each other's way by their keys |
//!
//! The program is `redis-server`, or what the environment variable `IDEM_REDIS_SERVER` names, such as `valkey-server`.

mod binary;
mod cluster;
mod options;
mod query;
mod sentinel;
mod server;
mod shared;
mod slot_move;

pub use binary::server_binary;
pub use cluster::ClusterSetup;
pub use options::RedisServerBuilder;
pub use sentinel::SentinelSetup;
pub use server::RedisServer;
pub use shared::{SharedRedis, shared};
pub use slot_move::SlotMove;
