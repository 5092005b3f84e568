//! Every backend against the one state machine: the same random history gives the same answers, and leaves the same record.

mod backends;
mod machine;

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Instant;

use idem_runtime::RecordKey;
use idem_runtime::record::OwnerId;
use idem_runtime::storage::Storage;
use idem_tests::extent;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use proptest_state_machine::ReferenceStateMachine;
use tokio::runtime::Runtime;

use self::backends::{Backend, InProcess, OnMySql, OnPostgres, OnRedis, OnSqlite};
use self::machine::{Model, Step, Verb, tell_claimed, tell_record, tell_written};
use crate::conformance::flawed::{Flaw, Flawed};
use crate::stage::GRAIN;

/// Asks the storage as well.
async fn ask<B: Backend>(backend: &B, step: &Step, key: &RecordKey) -> String {
    let storage = backend.storage();
    match step.verb(key) {
        Verb::Claim(claim) => tell_claimed(storage.claim(&claim).await.unwrap()),
        Verb::Renew(renew) => tell_written(storage.renew(&[renew]).await.remove(0).unwrap()),
        Verb::Complete(complete) => {
            let written = storage.complete(&complete).await.unwrap();
            if complete.ttl.is_zero() {
                // Which Redis takes for its shortest, a millisecond.
                tokio::time::sleep(GRAIN).await;
            }
            tell_written(written)
        }
        Verb::Release(release) => {
            let written = storage.release(&release).await.unwrap();
            // The claim's ttl may have been zero.
            tokio::time::sleep(GRAIN).await;
            tell_written(written)
        }
        Verb::Pass(time) => {
            backend.pass(key, time).await;
            String::new()
        }
    }
}

/// Compares so many random histories; says what happened in the shortest one that is told differently.
fn compare<B: Backend>(runtime: &Runtime, backend: &B, histories: u32) -> Result<(), String> {
    let mut runner = TestRunner::new(Config {
        cases: histories,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&Model::sequential_strategy(1..24), |(mut model, steps, seen)| {
        let key = RecordKey::from_stored(format!("differential:{}", OwnerId::random()));
        let mut story = String::new();
        for step in &steps {
            if let Some(seen) = &seen {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            let expected = model.answer(step, &key);
            let (answer, stored) = runtime.block_on(async {
                let answer = ask(backend, step, &key).await;
                (answer, backend.storage().load(&key).await.unwrap())
            });
            let there = tell_record(stored, backend.now());
            let _ = writeln!(story, "{step:?}: {answer}\n    then there is {there}");
            if answer != expected || there != model.there() {
                let _ = write!(story, "    expected: {expected}\n    and {}", model.there());
                return Err(TestCaseError::fail(story));
            }
        }
        Ok(())
    });
    outcome.map_err(|error| match error {
        TestError::Fail(story, _) => story.to_string(),
        TestError::Abort(reason) => reason.to_string(),
    })
}

#[allow(clippy::print_stdout, reason = "the figures of long runs")]
fn compare_all<B: Backend>(runtime: &Runtime, backend: &B, few: u32, many: u32) {
    let (begun, histories) = (Instant::now(), extent(few, many));
    compare(runtime, backend, histories).unwrap_or_else(|story| panic!("{story}"));
    let name = backend.storage().backend();
    println!("{name}: {histories} histories in {:.1?}", begun.elapsed());
}

#[test]
fn memory_answers_as_the_state_machine_does() {
    compare_all(&Runtime::new().unwrap(), &InProcess::memory(), 2_000, 1_000_000);
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
    ] {
        let storage = Flawed::new(flaw);
        let clock = storage.clock.clone();
        let story = compare(&runtime, &InProcess { storage, clock }, 2_000).unwrap_err();
        let steps = story.matches("then there is").count();
        assert!(steps <= 8, "{flaw:?} is told in {steps} steps:\n{story}");
    }
}
