//! A result with where it comes from.

use std::time::SystemTime;

/// A result with where it comes from: what [`Operation::run`](crate::Operation::run) gives, and a function under `#[idempotent]` that returns
/// `Result<Outcome<T>, E>`.
///
/// ```
/// # use idem_runtime as idempotency;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), idem_runtime::Error> {
/// use idempotency::{Error, Idempotency};
///
/// let idem = Idempotency::memory();
/// let pay = || idem.operation("pay").key("payment:42").run_with_outcome(async { Ok::<_, Error>("receipt".to_owned()) });
/// assert!(!pay().await?.is_replayed());
/// let again = pay().await?;
/// assert!(again.is_replayed());
/// assert_eq!(again.into_value(), "receipt");
/// # Ok(())
/// # }
/// ```
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
    /// What a body has made: the value, executed here. So says the body of an annotated function that returns `Result<Outcome<T>, E>`; its
    /// callers get the value with where it comes from for them.
    pub fn executed(value: T) -> Self {
        Self { value, source: Source::Executed { recovered: false } }
    }

    /// The result alone.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Whether the body ran in an earlier call.
    pub fn is_replayed(&self) -> bool {
        matches!(self.source, Source::Replayed { .. })
    }
}

/// As [`Outcome::executed`].
impl<T> From<T> for Outcome<T> {
    fn from(value: T) -> Self {
        Self::executed(value)
    }
}
