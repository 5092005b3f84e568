//! No metrics: the feature `metrics` is off.

/// Measures nothing.
pub(crate) struct Timer;

impl Timer {
    pub(crate) fn start() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the form of the timer that measures")]
    pub(crate) fn stop(self, _operation: &str, _outcome: &'static str) {}
}

pub(crate) fn describe() {}

pub(crate) fn count_parked(_operation: &str) {}

pub(crate) fn count_waiting_parked(_operation: &str, _change: i32) {}
