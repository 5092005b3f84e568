//! The cases, by the part of the contract that they test.

mod atomic;
mod blocking;
mod claim;
mod complete;
mod deadline;
mod dropped;
mod durable;
mod handles;
mod keys;
mod load;
mod lost;
mod lost_owner;
mod mismatch;
mod purge;
mod release;
mod renew;
mod repeat;
mod replay;
mod scan;
mod takeover;
mod time;
mod unreadable;
mod watch;
mod whole;

use futures_util::future::BoxFuture;

use super::check::Verdict;
use super::harness::Harness;
use super::stage::Stage;

/// One case: its name, the bullet under test verbatim, and its function.
pub(super) struct Case<H> {
    pub(super) name: &'static str,
    pub(super) contract: &'static str,
    pub(super) turn: Turn,
    pub(super) run: fn(Stage<H>) -> BoxFuture<'static, Verdict>,
}

/// Whether a case runs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Concurrently with the others of this kind.
    Together,
    /// Alone: it purges.
    Alone,
}

/// The cases of a file: its name, then for each bullet the names of its functions. `alone` marks
/// cases that purge; `owned` marks cases that reopen the storage and so own their stage.
macro_rules! cases {
    ($verb:literal; $($bullet:expr => $($how:ident)? [$($group:tt)+]),+ $(,)?) => {
        pub(super) fn cases<H: Harness>() -> Vec<super::Case<H>> {
            let groups = [$(super::group!($verb, $bullet, [$($group)+] $($how)?)),+];
            groups.into_iter().flatten().collect()
        }
    };
}
macro_rules! group {
    ($verb:literal, $bullet:expr, [$($case:ident),+ $(,)?]) => {
        super::group!($verb, $bullet, [$($case),+] together)
    };
    ($verb:literal, $bullet:expr, [$($case:ident),+ $(,)?] $how:ident) => {
        vec![$(super::Case {
            name: concat!($verb, "::", stringify!($case)),
            contract: $bullet,
            turn: super::turn!($how),
            run: super::run!($how $case),
        }),+]
    };
}
macro_rules! turn {
    (alone) => {
        super::Turn::Alone
    };
    ($other:ident) => {
        super::Turn::Together
    };
}
macro_rules! run {
    (owned $case:ident) => {
        |stage| Box::pin($case(stage))
    };
    ($other:ident $case:ident) => {
        |stage| Box::pin(async move { $case(&stage).await })
    };
}
use {cases, group, run, turn};

pub(super) fn all<H: Harness>() -> Vec<Case<H>> {
    [
        atomic::cases(),
        handles::cases(),
        time::cases(),
        deadline::cases(),
        unreadable::cases(),
        lost::cases(),
        durable::cases(),
        repeat::cases(),
        keys::cases(),
        whole::cases(),
        dropped::cases(),
        blocking::cases(),
        claim::cases(),
        mismatch::cases(),
        takeover::cases(),
        replay::cases(),
        renew::cases(),
        complete::cases(),
        lost_owner::cases(),
        release::cases(),
        load::cases(),
        purge::cases(),
        scan::cases(),
        watch::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests;
