//! A relay's settings, and the pauses that follow from them.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::{OutboxError, OutboxErrorKind};

/// What happens to the later events of a key when an event becomes a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDeadLetter {
    /// They are published without it. Consumers see a gap, and the event later if it is redriven.
    #[default]
    Skip,
    /// They wait until it is redriven or discarded. Consumers see the events of a key in order and
    /// without a gap.
    Block,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) batch: usize,
    pub(super) lease: Duration,
    pub(super) publish_timeout: Duration,
    pub(super) poll: Duration,
    pub(super) max_attempts: u32,
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
    pub(super) on_dead_letter: OnDeadLetter,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: 256,
            lease: Duration::from_secs(30),
            publish_timeout: Duration::from_secs(10),
            poll: Duration::from_millis(250),
            max_attempts: 20,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(300),
            on_dead_letter: OnDeadLetter::default(),
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), OutboxError> {
        let defect = if self.batch == 0 {
            "`batch` must be at least 1"
        } else if self.max_attempts == 0 {
            "`max_attempts` must be at least 1"
        } else if self.lease < Duration::from_millis(100) {
            "`lease` must be at least 100 ms, so that the relay can renew it in time"
        } else if self.publish_timeout.is_zero() {
            "`publish_timeout` must be greater than zero"
        } else if self.poll.is_zero() || self.first_pause.is_zero() {
            "`poll` and the first pause of `backoff` must be greater than zero"
        } else if self.longest_pause < self.first_pause {
            "the longest pause of `backoff` must not be shorter than the first"
        } else {
            return Ok(());
        };
        Err(OutboxError::new(OutboxErrorKind::Configuration, defect))
    }

    /// The relay's pause after `failures` errors in a row of the database or the broker. It delays
    /// all events, so it is at most 5 seconds.
    pub(super) fn relay_pause(&self, failures: u32) -> Duration {
        let longest = self.longest_pause.min(Duration::from_secs(5));
        pause_after(failures, self.first_pause.min(longest), longest)
    }
}

/// The pause after `failures` in a row: it doubles, and is shortened at random by up to a half.
pub(super) fn pause_after(failures: u32, first: Duration, longest: Duration) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = first.saturating_mul(doubled).min(longest);
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// A pause of the whole relay while the broker is unavailable.
#[derive(Debug, Default)]
pub(super) struct BrokerPause {
    state: Mutex<PauseState>,
}

#[derive(Debug, Default)]
struct PauseState {
    /// Failures in a row.
    failures: u32,
    until: Option<Instant>,
}

impl BrokerPause {
    /// Begins a pause because the broker is unavailable. Returns its length, unless there is one
    /// already: many events fail at the same time.
    pub(super) fn begin(&self, settings: &Settings) -> Option<Duration> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state.until.is_some_and(|until| now < until) {
            return None;
        }
        state.failures = state.failures.saturating_add(1);
        let pause = settings.relay_pause(state.failures);
        state.until = Some(now + pause);
        Some(pause)
    }

    /// Ends the pauses, because the broker accepted an event.
    pub(super) fn end(&self) {
        *self.state.lock() = PauseState::default();
    }

    /// The end of the pause, if there is one.
    pub(super) fn until(&self) -> Option<Instant> {
        self.state.lock().until.filter(|until| Instant::now() < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        for (failures, full) in [(0, 100), (1, 100), (2, 200), (4, 800), (5, 1000), (200, 1000)] {
            let full = Duration::from_millis(full);
            let pause = pause_after(failures, first, longest);
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        assert!(Settings::default().check().is_ok());
        let second = Duration::from_secs(1);
        for wrong in [
            Settings { batch: 0, ..Settings::default() },
            Settings { max_attempts: 0, ..Settings::default() },
            Settings { lease: Duration::ZERO, ..Settings::default() },
            Settings { publish_timeout: Duration::ZERO, ..Settings::default() },
            Settings { poll: Duration::ZERO, ..Settings::default() },
            Settings { first_pause: Duration::ZERO, ..Settings::default() },
            Settings { first_pause: second * 2, longest_pause: second, ..Settings::default() },
        ] {
            let error = wrong.check().unwrap_err();
            assert_eq!(error.kind(), OutboxErrorKind::Configuration, "{wrong:?}");
        }
    }
}
