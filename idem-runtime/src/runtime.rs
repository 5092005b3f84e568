//! What is needed of the tokio runtime that a call is made on.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::time::sleep;

thread_local! {
    /// The last runtime that was found to have timers.
    static TIMED: Cell<Option<Id>> = const { Cell::new(None) };
}

/// Without a runtime, or on one without timers, no lease is kept up and no request is given up: says what is missing.
pub(crate) fn check() -> Result<(), &'static str> {
    let Ok(here) = Handle::try_current() else {
        return Err(
            "there is no tokio runtime here, on which leases are kept up and requests end in time",
        );
    };
    let id = here.id();
    if TIMED.get() == Some(id) {
        return Ok(());
    }
    // A runtime does not tell whether it has timers; without them, making one panics. The panic hook hears of it, once for each call.
    if catch_unwind(|| drop(sleep(Duration::ZERO))).is_err() {
        return Err("the tokio runtime has no timers: build it with `enable_time` or `enable_all`");
    }
    TIMED.set(Some(id));
    Ok(())
}
