//! The outbox on real databases, with a publisher that records, and with real brokers.

mod dead_letters;
mod enqueue;
mod order;
mod recorder;
mod shutdown;
mod stage;
mod tables;
mod takeover;
