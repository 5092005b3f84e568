//! The outbox on real databases, with a publisher that records, and with real brokers.

mod consumer;
mod dead_letters;
mod enqueue;
mod jetstream;
mod killed_relays;
mod metrics;
mod order;
mod pools;
pub(crate) mod processes;
pub(crate) mod recorder;
mod redis_streams;
mod rights;
mod shutdown;
pub(crate) mod stage;
mod tables;
mod takeover;
mod whole_path;
