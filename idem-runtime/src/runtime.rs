//! What is needed, and known, of the tokio runtime that a call is made on.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::time::Duration;

use crate::sync::runtime::{Handle, Id};
use crate::sync::time::{Instant, sleep};

thread_local! {
    /// The last runtime that was found to have timers, and whose time it is.
    static TIMED: Cell<Option<(Id, Time)>> = const { Cell::new(None) };
}

/// Whose time a runtime's timers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// It goes on by itself, for all runtimes alike.
    Real,
    /// A test's: it stands still and leaps (`start_paused`), and no other runtime shares it.
    Paused,
}

/// Without a runtime, or on one without timers, no lease is kept up and no request is given up: says what is missing.
pub(crate) fn check() -> Result<Time, &'static str> {
    let Ok(here) = Handle::try_current() else {
        return Err(
            "there is no tokio runtime here, on which leases are kept up and requests end in time",
        );
    };
    let id = here.id();
    if let Some((timed, time)) = TIMED.get()
        && timed == id
    {
        return Ok(time);
    }
    // A runtime does not tell whether it has timers; without them, making one panics. The panic hook hears of it, once for each call.
    if catch_unwind(|| drop(sleep(Duration::ZERO))).is_err() {
        return Err("the tokio runtime has no timers: build it with `enable_time` or `enable_all`");
    }
    let time = time();
    TIMED.set(Some((id, time)));
    Ok(time)
}

/// Whose time it is on this runtime.
pub(crate) fn time() -> Time {
    // A look at the real clock lies between two others; a paused one says the same twice while the real one goes on, or is ahead.
    let before = Instant::now().into_std();
    let real = std::time::Instant::now();
    let after = Instant::now().into_std();
    if before <= real && real <= after { Time::Real } else { Time::Paused }
}
