//! The outcome of a call.

use std::time::SystemTime;

/// A value and its source: the result of
/// [`Operation::run_with_outcome`](crate::Operation::run_with_outcome), and of a function under
/// `#[idempotent]` that returns `Result<Outcome<T>, E>`.
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
    /// The first call's result, for every caller.
    pub value: T,
    /// Where the value comes from.
    pub source: Source,
}

/// Where the value of an [`Outcome`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// This call ran the body. The result is recorded, or the key released as the options ask.
    Executed {
        /// Whether it took over from an owner that died. A run after a release is not recovered.
        recovered: bool,
    },
    /// Another call ran the body.
    Replayed {
        /// When the result was recorded, by the storage's clock; by this process's clock if the
        /// call joined an in-flight call of this process.
        completed_at: SystemTime,
    },
    /// This call ran the body, but the result is not recorded: the storage failed, the record has
    /// vanished, or the result cannot be stored. A later call may run the body again.
    Unrecorded,
}

impl<T> Outcome<T> {
    /// The outcome of a body that ran here, for the body of an annotated function that returns
    /// `Result<Outcome<T>, E>`. Its callers get the value with their own source.
    pub fn executed(value: T) -> Self {
        Self { value, source: Source::Executed { recovered: false } }
    }

    /// The value.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Whether another call ran the body.
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
