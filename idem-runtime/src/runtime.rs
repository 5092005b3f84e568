//! Requirements on, and facts about, the tokio runtime of a call.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::time::Duration;

use crate::sync::runtime::{Handle, Id};
use crate::sync::time::{Instant, sleep};

thread_local! {
    /// The last runtime found to have timers, and the kind of its time.
    static TIMED: Cell<Option<(Id, TimeKind)>> = const { Cell::new(None) };
}

/// The kind of time that a runtime's timers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeKind {
    /// Real time, shared by all runtimes.
    Real,
    /// A test's paused time (`start_paused`): it moves in jumps, and no other runtime shares it.
    Paused,
}

/// Checks that there is a runtime with timers, which leases and timeouts need; the error says what
/// is missing.
pub(crate) fn check() -> Result<TimeKind, &'static str> {
    let Ok(here) = Handle::try_current() else {
        return Err(
            "no tokio runtime: leases and timeouts need one, so call from inside a tokio runtime",
        );
    };
    let id = here.id();
    if let Some((timed, time)) = TIMED.get()
        && timed == id
    {
        return Ok(time);
    }
    // tokio has no query for timers; creating one without them panics, which runs the panic hook
    // once for each call.
    if catch_unwind(|| drop(sleep(Duration::ZERO))).is_err() {
        return Err("the tokio runtime has no timers: build it with `enable_time` or `enable_all`");
    }
    let time = time();
    TIMED.set(Some((id, time)));
    Ok(time)
}

/// The kind of time on this runtime.
pub(crate) fn time() -> TimeKind {
    // Real time read between two readings of tokio's clock lies between them; a paused clock
    // returns the same value twice, or is ahead.
    let before = Instant::now().into_std();
    let real = std::time::Instant::now();
    let after = Instant::now().into_std();
    if before <= real && real <= after { TimeKind::Real } else { TimeKind::Paused }
}
