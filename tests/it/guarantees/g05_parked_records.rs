//! G5, `park`: a parked record stays until its late owner or an operator resolves it, however long ago its ttl was, and whoever parks it
//! says so.

use std::time::Duration;

use idem_runtime::record::{CrashPolicy, Status, Timestamp};
use idem_runtime::storage::Storage;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Operation, Source};
use tokio::time::sleep;

use crate::stage::{LEASE, PATIENCE, Process, Stage, in_time, kind, until};

on_every_backend!(
    a_dead_owners_record_waits_for_the_claim_that_parks_it,
    a_record_that_a_claim_has_parked_stays,
    a_record_that_a_cancelled_or_panicked_body_has_parked_stays,
    a_late_owner_that_heals_is_kept_for_its_ttl,
    whoever_parks_says_so_once,
    a_parking_claim_whose_reply_was_lost_says_so,
    a_released_record_of_one_who_parks_is_free,
);

/// Lease and ttl, so short that a test outlives both.
const SHORT: Duration = LEASE;
/// Longer than both.
const LATER: Duration = Duration::from_millis(900);

fn park(operation: Operation) -> Operation {
    operation.on_crash(CrashPolicy::Park).lease(SHORT).ttl(SHORT)
}

async fn idle(process: &Process) {
    until("nothing is under way", || process.idem.in_flight() == 0).await;
}

/// Dies with lease and ttl as short as [`park`] has them.
async fn dead(stage: &Stage, key: &str) {
    let claim =
        idem_runtime::storage::Claim { ttl: SHORT, ..stage.claim(key, SHORT, CrashPolicy::Park) };
    let claimed = stage.storage().await.claim(&claim).await.unwrap();
    assert!(matches!(claimed, idem_runtime::storage::Claimed::Acquired { .. }), "{claimed:?}");
}

/// Time passes, and whatever has expired is removed.
async fn much_later(stage: &Stage) {
    sleep(LATER).await;
    stage.storage().await.purge(usize::MAX).await.unwrap();
}

/// Nobody runs, in this process or another.
async fn assert_parked(stage: &Stage, key: &str) {
    for _ in 0..2 {
        let call = park(stage.process().await.charge(key)).wait(PATIENCE);
        assert_eq!(
            kind(in_time(call.run(stage.body(key, "again"))).await),
            ErrorKind::Indeterminate
        );
    }
    let record = stage.record(key).await.unwrap();
    assert_eq!((record.status(), record.expires_at), (Status::Failed, Timestamp::NEVER));
    assert!(record.is_parked());
}

async fn a_dead_owners_record_waits_for_the_claim_that_parks_it(stage: Stage) {
    dead(&stage, "k").await;
    much_later(&stage).await;
    // By itself, and without anybody who called meanwhile.
    let record = stage.record("k").await.unwrap();
    assert_eq!((record.status(), record.expires_at), (Status::Processing, Timestamp::NEVER));
    assert_parked(&stage, "k").await;
    assert_eq!(stage.ledger.executions("k"), 0);
}

async fn a_record_that_a_claim_has_parked_stays(stage: Stage) {
    dead(&stage, "k").await;
    sleep(SHORT * 2).await;
    assert_parked(&stage, "k").await;
    much_later(&stage).await;
    assert_parked(&stage, "k").await;
    assert_eq!(stage.ledger.executions("k"), 0);
}

async fn a_record_that_a_cancelled_or_panicked_body_has_parked_stays(stage: Stage) {
    let process = stage.process().await;
    process.begin(&stage, "cancelled", "", park).await.cancel().await;
    let panics = async {
        tokio::task::yield_now().await;
        panic!("on purpose")
    };
    let call = park(process.charge("panicked"));
    let task = tokio::spawn(async move { call.run::<String, Error, _>(panics).await });
    assert!(in_time(task).await.unwrap_err().is_panic());
    idle(&process).await;
    for key in ["cancelled", "panicked"] {
        assert_parked(&stage, key).await;
    }
    much_later(&stage).await;
    for (key, executions) in [("cancelled", 1), ("panicked", 0)] {
        assert_parked(&stage, key).await;
        assert_eq!(stage.ledger.executions(key), executions);
    }
}

async fn a_late_owner_that_heals_is_kept_for_its_ttl(stage: Stage) {
    let late = stage.process().await;
    let settings = |operation: Operation| park(operation).ttl(LATER * 2);
    let running = late.begin(&stage, "k", "late", settings).await;
    late.faults.always(Verb::Renew, Fault::Refuse);
    assert_parked(&stage, "k").await;
    let healed = running.finish().await.unwrap();
    assert_eq!(healed.source, Source::Executed { recovered: false });
    let other = stage.process().await;
    let replay = other.charge("k").run_with_outcome(stage.body("k", "other")).await.unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("late", true));
    // As any other result it is forgotten.
    assert_ne!(stage.record("k").await.unwrap().expires_at, Timestamp::NEVER);
    sleep(LATER * 2 + SHORT).await;
    let next = other.charge("k").run_with_outcome(stage.body("k", "next")).await.unwrap();
    assert_eq!((next.value.as_str(), next.is_replayed()), ("next", false));
}

async fn whoever_parks_says_so_once(stage: Stage) {
    dead(&stage, "found").await;
    sleep(SHORT * 2).await;
    let (finder, other) = (stage.process().await, stage.process().await);
    for process in [&finder, &other, &finder] {
        let call = park(process.charge("found")).run(stage.body("found", "again"));
        assert_eq!(kind(in_time(call).await), ErrorKind::Indeterminate);
    }
    assert_eq!((finder.heard.parked(), other.heard.parked()), (1, 0));

    let seen = stage.process().await;
    seen.begin(&stage, "seen", "", park).await.cancel().await;
    idle(&seen).await;
    assert_parked(&stage, "seen").await;
    assert_eq!(seen.heard.parked(), 1);

    // Who is to be run again parks nothing.
    seen.begin(&stage, "released", "", |operation| operation).await.cancel().await;
    idle(&seen).await;
    assert_eq!(seen.heard.parked(), 1);
}

async fn a_parking_claim_whose_reply_was_lost_says_so(stage: Stage) {
    dead(&stage, "k").await;
    sleep(SHORT * 2).await;
    let process = stage.process().await;
    process.faults.next(Verb::Claim, Fault::LoseReply);
    let call = park(process.charge("k")).run(stage.body("k", "again"));
    assert_eq!(kind(in_time(call).await), ErrorKind::Indeterminate);
    assert_eq!(process.heard.parked(), 1);
}

async fn a_released_record_of_one_who_parks_is_free(stage: Stage) {
    let process = stage.process().await;
    let call = || process.charge("k").on_crash(CrashPolicy::Park);
    let unstored = call().store_if(|_: &String| false);
    unstored.run(stage.body("k", "first")).await.unwrap();
    assert_eq!(stage.status("k").await, Some(Status::Released));
    let second = call().run_with_outcome(stage.body("k", "second")).await.unwrap();
    assert_eq!(second.source, Source::Executed { recovered: false });
    assert_eq!(process.heard.parked(), 0);
}
