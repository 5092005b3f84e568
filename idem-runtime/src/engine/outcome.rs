//! A result with where it comes from.

use std::time::SystemTime;

/// A result with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outcome<T> {
    /// The result: the first call's, whoever asks.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

/// Where a result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// This call ran the body, and the result is recorded, or released as the operation's options ask.
    Executed {
        /// Whether it took over from an owner that died. Running after a release is not that.
        recovered: bool,
    },
    /// The body ran before, in another call.
    Replayed {
        /// When the result was recorded, by the storage's clock; by this process's where the call attached to a run in this process.
        completed_at: SystemTime,
    },
    /// This call ran the body, but the result is not recorded: the storage failed, the record vanished, or the result cannot be stored.
    /// A later call may run the body again.
    Unrecorded,
}

impl<T> Outcome<T> {
    /// The result alone.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Whether the body ran in an earlier call.
    pub fn is_replayed(&self) -> bool {
        matches!(self.source, Source::Replayed { .. })
    }
}
