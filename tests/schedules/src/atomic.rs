//! Atomics whose every use is a step.

use std::sync::Arc;

use shuttle::sync::atomic;
pub use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use shuttle_tokio::spawn;

use super::mistake::{self, Mistake};

/// A flag. A store that is seen late is made by a task of its own, whenever the scheduler likes.
pub struct AtomicBool(Arc<atomic::AtomicBool>);

impl AtomicBool {
    pub fn new(value: bool) -> Self {
        Self(Arc::new(atomic::AtomicBool::new(value)))
    }

    pub fn load(&self, order: Ordering) -> bool {
        self.0.load(order)
    }

    pub fn store(&self, value: bool, order: Ordering) {
        let is_late = match order {
            Ordering::SeqCst => mistake::is(Mistake::StoresLate),
            Ordering::Release => mistake::is(Mistake::ReleasesLate),
            _ => false,
        };
        if is_late {
            let flag = Arc::clone(&self.0);
            drop(spawn(async move { flag.store(value, order) }));
        } else {
            self.0.store(value, order);
        }
    }
}
