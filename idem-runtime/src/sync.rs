//! Locks, atomics, tasks and time, under one roof so that tests can replace them all.
//!
//! These are the very types of `parking_lot`, `std` and `tokio`. `tests/schedules` builds the same
//! sources with `cfg(idem_shuttle)`, where another file takes the place of this one: there a
//! scheduler decides at every step which task continues. That build knows neither `tokio` nor
//! `parking_lot`, so a module that names them past this one does not compile there.

pub(crate) use std::sync::atomic;

pub(crate) use hashbrown::DefaultHashBuilder;
pub(crate) use parking_lot::{Mutex, RwLock};
pub(crate) use tokio::sync::{Notify, watch};
pub(crate) use tokio::task::yield_now;
pub(crate) use tokio::{pin, runtime, select, task_local, time};

/// The number of shards of a table; a scheduler wants fewer, since every lock is a step.
pub(crate) const fn shards(number: usize) -> usize {
    number
}
