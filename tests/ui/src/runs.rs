//! How the files in `accepts` and `pass` see that a body ran once.

#![expect(clippy::expect_used, reason = "what a test expects and does not find fails it")]

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};

use idempotency::Idempotency;

/// Counts the runs of a body.
#[derive(Debug, Default)]
pub struct Runs(AtomicU32);

impl Runs {
    /// None yet.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Counts one more, and gives its number. A body that returns it shows which run a caller has the result of.
    pub fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Runs `future` with a memory storage of its own as the task's handle.
///
/// # Panics
///
/// Where there can be no runtime.
pub fn on_memory<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(idempotency::with(Idempotency::memory(), future))
}

/// Asserts that of two equal calls the first runs, and the second gets the same result without running.
///
/// # Panics
///
/// Where that is not so.
pub fn assert_once<F, T, E>(runs: &Runs, call: impl Fn() -> F, expected: &T)
where
    F: Future<Output = Result<T, E>>,
    T: PartialEq + Debug,
    E: Debug,
{
    let results = on_memory(async { (call().await, call().await) });
    let first = results.0.expect("the first call succeeds");
    let again = results.1.expect("the second call succeeds");
    assert_eq!(&first, expected, "the first call runs");
    assert_eq!(&again, expected, "the second call replays the first one");
    assert_eq!(runs.count(), 1, "the body runs once");
}
