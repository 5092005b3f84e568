//! Waiting for a condition instead of sleeping.
//!
//! A sleep is either too short on a busy machine or too long everywhere else.

use std::time::{Duration, Instant};

/// Pause between two looks at the condition.
const STEP: Duration = Duration::from_millis(5);

/// Blocks until `condition` holds.
///
/// # Panics
///
/// When it does not hold within `limit`; `what` names it in the message.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain until {what}");
        std::thread::sleep(STEP);
    }
}

/// Like [`until`] for asynchronous tests: it lets other tasks run meanwhile.
///
/// # Panics
///
/// When the condition does not hold within `limit`.
pub async fn until_async(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(STEP).await;
    }
}
