//! Clocks of storages in this process. A storage on a server uses the server's clock.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use once_cell::sync::Lazy;

use crate::record::{Timestamp, millis};
use crate::sync;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A source of [`Timestamp`]s that never goes back.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// Monotonic time, counted from the wall clock's reading at the first use in the process: setting
/// the wall clock later moves no lease.
///
/// It follows tokio's clock: in a test with paused time (`#[tokio::test(start_paused = true)]`),
/// `tokio::time::advance` also moves the leases and retention of calls on that test's runtime.
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
        let now = sync::time::Instant::now().into_std();
        match now.checked_duration_since(instant) {
            Some(elapsed) => timestamp.after(elapsed),
            // Time was paused before the first use. Rounded as above, so that differences stay
            // exact to the millisecond.
            None => timestamp.before(instant - now),
        }
    }
}

/// A clock for tests that moves only by [`advance`](Self::advance).
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock set to the start of 2026.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_767_225_600_000)))
    }

    /// Moves the clock forward, saturating at the largest timestamp.
    pub fn advance(&self, duration: Duration) {
        let later = |now: u64| Some(now.saturating_add(millis(duration)));
        // The closure always returns `Some`.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The first use may be before or after time was paused.
    #[test]
    fn paused_time_is_exact_to_the_millisecond() {
        let paused = || {
            let builder = &mut tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().unwrap()
        };
        let before = paused();
        std::thread::sleep(Duration::from_micros(1_300));
        MonotonicClock.now();
        for runtime in [before, paused()] {
            runtime.block_on(async {
                let mut last = MonotonicClock.now();
                for step in [1, 7, 60_000] {
                    let step = Duration::from_millis(step);
                    tokio::time::advance(step).await;
                    assert_eq!(MonotonicClock.now(), last.after(step));
                    last = MonotonicClock.now();
                }
            });
        }
    }
}
