//! The records that this process has parked: each is reported once, and counted until this process
//! learns that it was resolved.
//!
//! A parked record waits for a person. The hook `on_parked` and a line at WARN are how one learns of it; the gauge is what is left to be
//! looked at, as far as this process knows. It is not the storage's count: what other processes parked, or this one before it was started
//! again, is not in it, and what was resolved and not asked for again still is.

use std::borrow::Cow;

use hashbrown::HashMap;

use crate::hooks::{CallEvent, Hooks};
use crate::key::{CallName, RecordKey};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::telemetry;

/// Most records that are remembered: with more of them nobody needs the gauge.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Parked {
    /// With the operation of each.
    records: Mutex<HashMap<RecordKey, Cow<'static, str>>>,
    /// Nearly always 0, and then no call takes the lock.
    count: AtomicUsize,
}

impl Parked {
    /// A call of this process has parked the record of `name`.
    pub(crate) fn add(&self, name: &CallName, hooks: &Hooks) {
        let mut records = self.records.lock();
        if records.len() < MOST && !records.contains_key(&name.record) {
            records.insert(name.record.clone(), name.operation.clone());
            self.count.store(records.len(), Ordering::Release);
            telemetry::count_waiting_parked(&name.operation, 1);
        }
        drop(records);
        telemetry::parked(name);
        hooks.parked(&CallEvent::new(name, None));
    }

    /// The storage says of this record that it is not parked, or no more.
    pub(crate) fn resolved(&self, record: &RecordKey) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut records = self.records.lock();
        if let Some(operation) = records.remove(record) {
            self.count.store(records.len(), Ordering::Release);
            telemetry::count_waiting_parked(&operation, -1);
        }
    }
}

impl Drop for Parked {
    /// Nobody hears of them any more.
    fn drop(&mut self) {
        for operation in self.records.get_mut().values() {
            telemetry::count_waiting_parked(operation, -1);
        }
    }
}
