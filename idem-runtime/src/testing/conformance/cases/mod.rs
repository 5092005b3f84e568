//! The cases, by the part of the contract that they test.

mod atomic;
mod claim;
mod complete;
mod dropped;
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

use futures_util::future::BoxFuture;

use super::check::Verdict;
use super::harness::Harness;
use super::stage::Stage;

/// One case: its name, the bullet it tests word for word, and what it does.
pub(super) struct Case<H> {
    pub(super) name: &'static str,
    pub(super) contract: &'static str,
    pub(super) run: fn(&Stage<H>) -> BoxFuture<'_, Verdict>,
}

/// The cases of a file: its name, then the names of its functions under the bullet that they test.
macro_rules! cases {
    ($verb:literal; $($bullet:expr => [$($case:ident),+ $(,)?]),+ $(,)?) => {
        pub(super) fn cases<H: Harness>() -> Vec<super::Case<H>> {
            vec![$($(super::Case {
                name: concat!($verb, "::", stringify!($case)),
                contract: $bullet,
                run: |stage| Box::pin($case(stage)),
            }),+),+]
        }
    };
}
use cases;

pub(super) fn all<H: Harness>() -> Vec<Case<H>> {
    [
        atomic::cases(),
        time::cases(),
        unreadable::cases(),
        lost::cases(),
        repeat::cases(),
        keys::cases(),
        dropped::cases(),
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
