//! The clock of storages that live in this process. Where there is a server, its clock decides instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use once_cell::sync::Lazy;

use crate::record::{Timestamp, millis};

/// A source of [`Timestamp`]s that never goes back.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Monotonic time, counted from the wall clock's reading when the process first asked: a wall clock that is set later moves no lease.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

static START: Lazy<(Instant, Timestamp)> = Lazy::new(|| {
    #[expect(clippy::disallowed_methods, reason = "read once, to give timestamps a date")]
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), Timestamp::from_millis(millis(since_epoch)))
});

impl Clock for MonotonicClock {
    fn now(&self) -> Timestamp {
        let (instant, timestamp) = *START;
        timestamp.after(instant.elapsed())
    }
}

/// A clock that stands still until it is told otherwise, for tests.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at the start of the year 2026.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_767_225_600_000)))
    }

    /// Moves the clock forward, at most to the far end of time.
    pub fn advance(&self, duration: Duration) {
        let later = |now: u64| Some(now.saturating_add(millis(duration)));
        // The closure always has an answer.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
