//! Mistakes in the order of steps are found: with each of them some schedule fails, for its reason.

use idem_shuttle::internal::mistake::Mistake;

use crate::explore::{Scenario, failure};
use crate::{attach, context, keeper, processes, watchers};

const NOT_WOKEN: &str = "somebody was not woken";

/// A mistake, a scenario that meets it, and what it then says.
const MISTAKES: [(Mistake, &Scenario, &str); 9] = [
    (Mistake::RegistersLate, &attach::DUPLICATES, NOT_WOKEN),
    (Mistake::StoresLate, &attach::DUPLICATE, NOT_WOKEN),
    (Mistake::WakesNone, &attach::DUPLICATES, NOT_WOKEN),
    (Mistake::IsLeaked, &processes::WAITER_GOES_AWAY, "another call with this key is running"),
    (Mistake::KeepsReleased, &attach::ONE_GOES_AWAY, NOT_WOKEN),
    (Mistake::ReleasesLate, &context::ENDS_WHILE_RENEWED, "told that a lease is lost"),
    (Mistake::WakesNotOne, &keeper::SHORTER_LEASE, "G2"),
    (Mistake::WakesBeforeItWrites, &processes::WAITERS, NOT_WOKEN),
    (Mistake::LetsGoTooEarly, &watchers::CHANGES, "everybody waits"),
];

#[test]
fn every_mistake_is_found() {
    let missed: Vec<_> = MISTAKES
        .into_iter()
        .map(|(mistake, scenario, reason)| (mistake, reason, failure(scenario, mistake)))
        .filter(|(_, reason, failure)| !failure.as_ref().is_some_and(|text| text.contains(reason)))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}
