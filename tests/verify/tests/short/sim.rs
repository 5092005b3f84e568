//! The engine keeps the guarantees whatever a seed has in store, and mistakes that were put in are found.

use std::thread;

use idem_verify::sim::{Bug, Report, simulate};

const SEEDS: u64 = 2_000;

fn report(seed: u64, bug: Option<Bug>) -> Report {
    simulate(seed, bug, false).unwrap()
}

#[test]
fn whatever_a_seed_has_in_store_the_guarantees_hold() {
    let (one, two) = (0..SEEDS / 2, SEEDS / 2..SEEDS);
    let reports: Vec<Vec<Report>> = thread::scope(|scope| {
        let halves = [one, two].map(|seeds| scope.spawn(|| seeds.map(hold).collect()));
        halves.map(|half| half.join().unwrap()).into()
    });
    let total = |count: fn(&Report) -> u32| reports.iter().flatten().map(count).sum::<u32>();
    assert!(total(|report| report.executions) > 5 * 2_000, "hardly a body ran");
    assert!(total(|report| report.calls) > 30 * 2_000, "hardly anybody called");
}

fn hold(seed: u64) -> Report {
    let report = report(seed, None);
    assert_eq!(report.broken, None, "see `cargo xtask verify --seed {seed}`");
    assert!(report.faults >= 50, "in seed {seed} only {} things went wrong", report.faults);
    report
}

#[test]
fn a_seed_is_always_the_same_story() {
    for seed in 0..50 {
        assert_eq!(report(seed, None).trace, report(seed, None).trace, "seed {seed}");
    }
}

#[test]
fn every_mistake_is_found() {
    let is_missed = |bug: &Bug| !(0..SEEDS).any(|seed| report(seed, Some(*bug)).broken.is_some());
    let missed: Vec<Bug> = Bug::ALL.into_iter().filter(is_missed).collect();
    assert_eq!(missed, []);
}
