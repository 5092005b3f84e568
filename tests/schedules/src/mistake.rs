//! The mistake that is switched on.
//!
//! Locks, atomics and wake-ups make it for the runtime, whose sources know nothing of it.

use std::cell::Cell;

thread_local! {
    static MADE: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// A mistake in the order of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// A waiter registers when it waits, not before it looks.
    RegistersLate,
    /// All waiters are to be woken, and none is.
    WakesNone,
    /// One waiter is to be woken, and is not.
    WakesNotOne,
    /// A store that all tasks are to see in one order is seen late.
    StoresLate,
    /// A store that releases is seen late.
    ReleasesLate,
    /// A lock is let go and taken again between two changes.
    LetsGoTooEarly,
    /// A caller's future is leaked, not dropped: its call stays in the in-flight table.
    IsLeaked,
    /// A storage answers a release and keeps the record.
    KeepsReleased,
    /// A storage wakes its waiters before it writes.
    WakesBeforeItWrites,
}

/// Switches a mistake on in this thread, and all others off.
pub fn set(mistake: Option<Mistake>) {
    MADE.set(mistake);
}

/// Whether this one is switched on.
pub fn is(mistake: Mistake) -> bool {
    MADE.get() == Some(mistake)
}
