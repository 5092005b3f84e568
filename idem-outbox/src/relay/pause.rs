//! Leaving a broker alone that cannot be reached.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::settings::Settings;

/// Whether the relay pauses, and how often it did in a row.
#[derive(Debug, Default)]
pub(super) struct Pause {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
}

impl Pause {
    /// The broker could not be reached. Returns the pause, unless there is one already: many events find out at once.
    pub(super) fn begin(&self, settings: &Settings) -> Option<Duration> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state.until.is_some_and(|until| now < until) {
            return None;
        }
        state.failures = state.failures.saturating_add(1);
        let pause = settings.pause_of_all(state.failures);
        state.until = Some(now + pause);
        Some(pause)
    }

    /// The broker took an event.
    pub(super) fn end(&self) {
        *self.state.lock() = State::default();
    }

    /// When the pause ends, if there is one.
    pub(super) fn until(&self) -> Option<Instant> {
        self.state.lock().until.filter(|until| Instant::now() < *until)
    }
}
