//! In place of the runtime's `sync.rs`: a scheduler decides at every lock, atomic and await which
//! task continues, and [`time`] passes when a test lets it. Each can be made to make a [`mistake`].

pub mod atomic;
mod lock;
pub mod mistake;
mod notify;
pub mod time;

use std::hash::{BuildHasherDefault, DefaultHasher};

pub(crate) use shuttle_parking_lot::RwLock;
pub(crate) use shuttle_tokio::sync::watch;
pub(crate) use shuttle_tokio::task::yield_now;
pub(crate) use shuttle_tokio::{pin, runtime, select, task_local};

pub(crate) use self::lock::Mutex;
pub(crate) use self::notify::Notify;

/// Without a random seed, which would decide which keys share a lock.
pub(crate) type DefaultHashBuilder = BuildHasherDefault<DefaultHasher>;

/// Every lock is a step, and the keeper takes one for each shard at every look.
pub(crate) const fn shards(_: usize) -> usize {
    2
}
