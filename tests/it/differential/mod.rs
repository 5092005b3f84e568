//! Every backend against the one state machine: the same random history gives the same answers, and leaves the same record.

mod backends;

use std::time::Instant;

use idem_runtime::storage::{MemoryStorage, Storage};
use idem_runtime::testing::conformance::histories::{Bench, ByClock, compare};
use idem_tests::extent;
use tokio::runtime::Runtime;

use self::backends::{OnMySql, OnPostgres, OnRedis, OnSqlite};
use crate::conformance::flawed::{Flaw, OnFlawed};
use crate::conformance::memory::OnManualClock;

/// Compares so many random histories, others in each run; the failure tells the seed of the one that is told differently.
#[allow(clippy::print_stdout, reason = "the figures of long runs")]
fn compare_all<B: Bench>(runtime: &Runtime, bench: &B, few: u32, many: u32) {
    let (begun, histories) = (Instant::now(), extent(few, many));
    let first = fastrand::u64(..u64::MAX / 2);
    let compared = runtime.block_on(compare(bench, first..first + u64::from(histories)));
    compared.unwrap_or_else(|divergence| panic!("{divergence}"));
    let name = bench.storage().backend();
    println!("{name}: {histories} histories in {:.1?}", begun.elapsed());
}

#[test]
fn memory_answers_as_the_state_machine_does() {
    let memory = ByClock(OnManualClock::new(MemoryStorage::with_clock));
    compare_all(&Runtime::new().unwrap(), &memory, 5_000, 1_000_000);
}

#[test]
fn redis_answers_as_the_state_machine_does() {
    let runtime = Runtime::new().unwrap();
    compare_all(&runtime, &runtime.block_on(OnRedis::new()), 400, 50_000);
}

#[test]
fn postgres_answers_as_the_state_machine_does() {
    let runtime = Runtime::new().unwrap();
    compare_all(&runtime, &runtime.block_on(OnPostgres::new()), 200, 20_000);
}

#[test]
fn mysql_answers_as_the_state_machine_does() {
    let runtime = Runtime::new().unwrap();
    compare_all(&runtime, &runtime.block_on(OnMySql::new()), 200, 10_000);
}

#[test]
fn sqlite_answers_as_the_state_machine_does() {
    let runtime = Runtime::new().unwrap();
    compare_all(&runtime, &runtime.block_on(OnSqlite::new()), 200, 100_000);
}

#[test]
fn flaws_are_found_and_told_shortly() {
    let runtime = Runtime::new().unwrap();
    for flaw in [
        Flaw::LeaseBeforeFingerprint,
        Flaw::SecondClaimExtendsTheLease,
        Flaw::TakeoverKeepsTheFence,
        Flaw::TakeoverKeepsTheTermsOfTheDead,
        Flaw::ParkNamesTheFinder,
        Flaw::ReplayExtendsRetention,
        Flaw::CompleteKeepsTheClaimsRetention,
        Flaw::HealingKeepsRetention,
        Flaw::RenewKeepsRetention,
        Flaw::ReleaseRemovesFinished,
        Flaw::ProcessingIsKeptForTheTtlOnly,
        Flaw::DeadExpiresUnparked,
        Flaw::ParkedExpires,
        Flaw::ParkingIsNotTold,
        Flaw::IndeterminateExpires,
        Flaw::ReleaseForgetsTheFence,
        Flaw::ReleaseKeepsTheClaimsRetention,
        Flaw::ReleaseAgainIsLost,
        Flaw::ReleaseIsACrash,
        Flaw::TakeoverIsNoRecovery,
        Flaw::RenewForgetsTheCrash,
        Flaw::LeaseEndsEarly(1),
        Flaw::LeaseEndsEarly(400),
        Flaw::LeaseEndsLate(1),
        Flaw::RetentionEndsEarly(1),
        Flaw::RetentionEndsLate(150),
        Flaw::LeaseLeftIsATwentieth,
        Flaw::RoundsDown,
        Flaw::OwnersByFirstByte,
        Flaw::RenewResurrectsExpired,
        Flaw::PurgeRemovesDeadOwners,
    ] {
        let bench = ByClock(OnFlawed::new(flaw));
        let divergence = runtime.block_on(compare(&bench, 0..3_000)).unwrap_err();
        let steps = divergence.steps();
        assert!(steps <= 8, "{flaw:?} is told in {steps} steps:\n{divergence}");
        // The same seed tells the same again.
        let seed = divergence.seed();
        let again = runtime.block_on(compare(&bench, [seed])).unwrap_err();
        assert_eq!(again.steps(), steps, "{flaw:?}");
    }
}
