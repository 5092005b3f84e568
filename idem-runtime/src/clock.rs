//! The clock of storages that live in this process. Where there is a server, its clock decides instead.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use once_cell::sync::Lazy;

use crate::record::{Timestamp, millis};
use crate::sync;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A source of [`Timestamp`]s that never goes back.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Monotonic time, counted from the wall clock's reading when the process first asked: a wall clock that is set later moves no lease.
///
/// It is tokio's: in a test that has paused it (`#[tokio::test(start_paused = true)]`), `tokio::time::advance` moves leases and retention too, of
/// all that is asked on that test's runtime.
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
            // Paused before the process first asked. Rounded as above, so that what is a second later is so to the millisecond.
            None => timestamp.before(instant - now),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whenever the process first asked, before or after the time was paused.
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
