//! Nothing is counted: the feature `metrics` is off.

/// Measures nothing.
pub(crate) struct Timer;

impl Timer {
    pub(crate) fn start() -> Self {
        Self
    }

    pub(crate) fn stop(self, _operation: &str, _outcome: &'static str) {}
}
