//! Mistakes in the order of things are found: each is woven into the copy of the engine, and some schedule shows it.

use crate::explore::{Scenario, finds};
use crate::{attach, context, keeper, processes, watchers};

const MISTAKES: [(&str, &Scenario); 9] = [
    ("looks before it registers", &attach::DUPLICATES),
    ("looks before it says that it waits", &attach::DUPLICATE),
    ("leaves without waking", &attach::DUPLICATES),
    ("goes away and stays on the list", &processes::WAITER_GOES_AWAY),
    ("forgets what it has claimed", &attach::ONE_GOES_AWAY),
    ("believes a renewal that met its own end", &context::ENDS_WHILE_RENEWED),
    ("does not wake the keeper", &keeper::SHORTER_LEASE),
    ("wakes before it writes", &processes::WAITERS),
    ("removes a key that somebody came to", &watchers::CHANGES),
];

#[test]
fn every_mistake_is_found() {
    let missed: Vec<&str> = MISTAKES
        .into_iter()
        .filter(|(mistake, scenario)| !finds(scenario, mistake))
        .map(|(mistake, _)| mistake)
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}
