//! Every order of events in small worlds keeps the guarantees, and every mistake that was put in is found.

use idem_verify::model::{Bug, Limits, Row, explore};

/// Two callers, and one fault of each kind.
const MUCH_GOES_WRONG: Limits = Limits {
    calls: [1, 1, 0],
    crashes: 1,
    repeats: 1,
    losses: 1,
    clock_steps: 1,
    ..Limits::NOTHING_GOES_WRONG
};

#[test]
fn every_order_of_events_keeps_the_guarantees() {
    let explored = explore(Limits::NOTHING_GOES_WRONG, None);
    assert_eq!(explored.broken, None);
    assert!(explored.states >= 990_000, "there were only {} states", explored.states);
    assert_eq!(explored.missing, [], "these rows of the transition table were never met");
}

#[test]
fn so_does_every_order_in_which_things_go_wrong() {
    let explored = explore(MUCH_GOES_WRONG, None);
    assert_eq!(explored.broken, None);
    assert!(explored.states >= 1_600_000, "there were only {} states", explored.states);
    assert_eq!(explored.missing, [Row::Mismatch], "these rows were never met");
}

#[test]
fn every_mistake_is_found() {
    let limits = Limits { repeats: 1, losses: 1, ..Limits::NOTHING_GOES_WRONG };
    let is_missed = |bug: &Bug| explore(limits, Some(*bug)).broken.is_none();
    let missed: Vec<Bug> = Bug::ALL.into_iter().filter(is_missed).collect();
    assert_eq!(missed, [], "these mistakes break no guarantee that is checked");
}
