//! A mistake in the workers is found by what it breaks.

use std::time::Duration;

use idem_chaos::backend::Backend;
use idem_chaos::flaw::Flaw;
use idem_chaos::round::{Settings, run};
use idem_chaos::setup::Setup;

/// It comes to light by chance, though seldom later than in the first round where the machine has little else to do.
const ROUNDS: u64 = 12;

#[track_caller]
fn is_found(flaw: Flaw, backend: Backend, guarantees: &[&str]) {
    let mut setup = Setup::start(backend);
    for round in 0..ROUNDS {
        let settings = Settings {
            length: Duration::from_secs(5),
            // Shorter than usual, so that owners that stand still are taken over more often.
            lease: Duration::from_millis(700),
            flaw: Some(flaw),
            ..Settings::new(super::program(), backend, 1, round)
        };
        let violations = run(&mut setup, &settings).verdict.violations;
        if violations.iter().any(|violation| guarantees.contains(&violation.guarantee)) {
            return;
        }
    }
    panic!("{flaw:?} was not found in {ROUNDS} rounds");
}

#[test]
fn running_whatever_the_record_says() {
    is_found(Flaw::IgnoresTheRecord, Backend::Redis, &["G4"]);
}

#[test]
fn running_while_another_owner_is_at_work() {
    is_found(Flaw::IgnoresOtherOwners, Backend::Redis, &["G2"]);
}

#[test]
fn completing_without_owning() {
    is_found(Flaw::CompletesWithoutOwning, Backend::Redis, &["G1", "G4"]);
}

#[test]
fn completing_nothing() {
    is_found(Flaw::CompletesNothing, Backend::Redis, &["G4"]);
}

#[test]
fn renewing_nothing() {
    is_found(Flaw::RenewsNothing, Backend::Redis, &["G2"]);
}

#[test]
fn retrying_what_is_to_be_parked() {
    // Where workers are killed more often than anything else happens.
    is_found(Flaw::RetriesWhatIsParked, Backend::Sqlite, &["G5"]);
}

#[test]
fn giving_every_owner_the_same_fence() {
    is_found(Flaw::RepeatsFences, Backend::Redis, &["G3"]);
}

#[test]
fn holding_a_key_for_too_long() {
    is_found(Flaw::HoldsTheKey, Backend::Sqlite, &["G5"]);
}
