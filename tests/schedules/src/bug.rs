//! The mistake that is switched on.

use std::cell::Cell;

thread_local! {
    static BUG: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Switches a mistake on in this thread, and all others off.
pub fn set(bug: Option<&'static str>) {
    BUG.set(bug);
}

/// Whether this one is switched on.
pub fn is(bug: &str) -> bool {
    BUG.get() == Some(bug)
}
