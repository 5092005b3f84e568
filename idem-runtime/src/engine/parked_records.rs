//! The records that this process has parked: each is reported once, and counted until this process
//! learns that it was resolved.
//!
//! A parked record waits for an operator, whom the hook `on_parked` and a line at WARN inform. The
//! gauge counts the unresolved records that this process knows of. It is not the storage's count:
//! it lacks the records that other processes parked, or this one before its restart, and it
//! includes records that were resolved and not called again.

use std::borrow::Cow;

use hashbrown::HashMap;

use crate::hooks::{CallEvent, Hooks};
use crate::key::{CallName, RecordKey};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::telemetry;

/// The number of records that are remembered; the gauge goes no further.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct ParkedRecords {
    /// The operation of each record.
    records: Mutex<HashMap<RecordKey, Cow<'static, str>>>,
    /// The number of records. At 0, which is usual, no call takes the lock.
    count: AtomicUsize,
}

impl ParkedRecords {
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

    /// The storage has answered that the record is not parked.
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

impl Drop for ParkedRecords {
    /// Takes the handle's records off the gauge.
    fn drop(&mut self) {
        for operation in self.records.get_mut().values() {
            telemetry::count_waiting_parked(operation, -1);
        }
    }
}
