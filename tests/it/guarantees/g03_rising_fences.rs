//! G3, the fence: each owner's is higher than that of every owner before, whatever became of that one; and only what follows a death is
//! a recovery.

use std::time::Duration;

use idem_runtime::policy::ReleaseErrors;
use idem_runtime::record::{CrashPolicy, Status};
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Fingerprint, Source, current};
use parking_lot::Mutex;

use crate::stage::{LEASE, PATIENCE, Process, Stage, TTL, in_time, kind, until};

on_every_backend!(
    a_fence_rises_whatever_became_of_the_owner_before,
    a_fence_rises_over_processes_that_begin_anew,
    a_released_key_is_no_recovery_and_a_dead_owners_is,
    a_claim_that_is_asked_again_says_the_same_of_the_owner_before,
    a_released_key_is_not_for_other_arguments,
    a_released_key_is_forgotten_after_its_ttl,
);

/// The fences of the bodies that ran, in their order.
#[derive(Default)]
struct Fences(Mutex<Vec<u64>>);

impl Fences {
    fn note(&self) {
        let call = current().expect("a body has a context");
        assert_eq!(call.attempt(), call.fence().get());
        self.0.lock().push(call.fence().get());
    }

    /// A body that takes no time.
    async fn body<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        self.note();
        std::future::ready(result).await
    }
}

fn declined() -> Error {
    Error::new(ErrorKind::Configuration, "declined")
}

async fn idle(process: &Process) {
    until("nothing is under way", || process.idem.in_flight() == 0).await;
}

/// Polls a call until its body has begun, and drops it.
async fn cancelled(process: &Process, fences: &Fences) {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let body = async {
        fences.note();
        let _ = begun.send(());
        std::future::pending::<Result<String, Error>>().await
    };
    tokio::select! {
        ended = process.charge("k").lease(TTL).run_with_outcome(body) => panic!("{ended:?}"),
        begun = in_time(has_begun) => begun.unwrap(),
    }
    idle(process).await;
}

async fn a_fence_rises_whatever_became_of_the_owner_before(stage: Stage) {
    let fences = Fences::default();
    let process = stage.process().await;
    let call = || process.charge("k").lease(TTL);

    cancelled(&process, &fences).await;

    let panics = async {
        fences.note();
        panic!("on purpose")
    };
    let panicking = std::panic::AssertUnwindSafe(call().run::<String, Error, _>(panics));
    futures_util::FutureExt::catch_unwind(panicking).await.unwrap_err();
    idle(&process).await;

    call().errors(ReleaseErrors).run(fences.body::<String>(Err(declined()))).await.unwrap_err();
    let retried = call().retry_if(|_: &Error| true);
    retried.run(fences.body::<String>(Err(declined()))).await.unwrap_err();
    let unstored = call().store_if(|_: &String| false);
    unstored.run(fences.body(Ok("not stored".to_owned()))).await.unwrap();

    // The release's reply is lost, and it is asked for again.
    process.faults.next(Verb::Release, Fault::LoseReply);
    call().errors(ReleaseErrors).run(fences.body::<String>(Err(declined()))).await.unwrap_err();
    idle(&process).await;

    // The key was claimed, and the body never began.
    process.faults.next(Verb::Claim, Fault::HangAfter);
    let unheard = call().run(fences.body(Ok("never".to_owned())));
    tokio::time::timeout(Duration::from_millis(200), unheard).await.unwrap_err();
    idle(&process).await;
    assert_eq!(stage.status("k").await, Some(Status::Released));

    // The owner dies without a word.
    let dead = stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
    assert_eq!(stage.record("k").await.unwrap().owner, dead.owner);
    let taker = call().wait(PATIENCE).errors(ReleaseErrors);
    in_time(taker.run(fences.body::<String>(Err(declined())))).await.unwrap_err();

    let last = call().run_with_outcome(fences.body(Ok("last".to_owned()))).await.unwrap();
    assert_eq!(last.source, Source::Executed { recovered: false });
    let fences = fences.0.into_inner();
    // That of the body which never began is missing, and so is the dead owner's.
    assert_eq!(fences, [1, 2, 3, 4, 5, 6, 9, 10]);
    assert_eq!(process.heard.takeovers(), 1);
}

async fn a_fence_rises_over_processes_that_begin_anew(stage: Stage) {
    let fences = Fences::default();
    for _ in 0..3 {
        let process = stage.process().await;
        cancelled(&process, &fences).await;
        assert_eq!(process.heard.takeovers(), 0);
    }
    assert_eq!(*fences.0.lock(), [1, 2, 3]);
}

async fn a_released_key_is_no_recovery_and_a_dead_owners_is(stage: Stage) {
    let process = stage.process().await;
    let busy = || process.charge("k").errors(ReleaseErrors).wait(PATIENCE);
    stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
    in_time(busy().run(async { Err::<String, _>(declined()) })).await.unwrap_err();
    assert_eq!(process.heard.takeovers(), 1);
    in_time(busy().run(async { Err::<String, _>(declined()) })).await.unwrap_err();
    assert_eq!(process.heard.takeovers(), 1);
    stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
    let outcome = in_time(busy().run_with_outcome(stage.body("k", "value"))).await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: true });
    assert_eq!(process.heard.takeovers(), 2);
}

async fn a_claim_that_is_asked_again_says_the_same_of_the_owner_before(stage: Stage) {
    let process = stage.process().await;
    let again = |key: &str| {
        process.faults.next(Verb::Claim, Fault::LoseReply);
        process.charge(key).lease(TTL).run_with_outcome(stage.body(key, "value"))
    };
    let fresh = in_time(again("fresh")).await.unwrap();
    assert_eq!(fresh.source, Source::Executed { recovered: false });

    let cancelled = process.begin(&stage, "released", "", |operation| operation).await;
    cancelled.cancel().await;
    idle(&process).await;
    let released = in_time(again("released")).await.unwrap();
    assert_eq!(released.source, Source::Executed { recovered: false });

    stage.dead_owner("dead", LEASE, CrashPolicy::Retry).await;
    tokio::time::sleep(LEASE * 2).await;
    let taken = in_time(again("dead")).await.unwrap();
    assert_eq!(taken.source, Source::Executed { recovered: true });
    assert_eq!(process.heard.takeovers(), 1);
}

async fn a_released_key_is_not_for_other_arguments(stage: Stage) {
    let process = stage.process().await;
    process.begin(&stage, "k", "", |operation| operation).await.cancel().await;
    idle(&process).await;
    for process in [process, stage.process().await] {
        let other = Fingerprint::of("charge", "other arguments").unwrap();
        let call = process.charge("k").with_fingerprint(other);
        assert_eq!(kind(in_time(call.run(stage.body("k", "other"))).await), ErrorKind::Mismatch);
    }
    let same =
        stage.process().await.charge("k").run_with_outcome(stage.body("k", "same")).await.unwrap();
    assert_eq!(same.source, Source::Executed { recovered: false });
}

async fn a_released_key_is_forgotten_after_its_ttl(stage: Stage) {
    let process = stage.process().await;
    let short = |operation: idem_runtime::Operation| operation.lease(LEASE).ttl(LEASE);
    process.begin(&stage, "k", "", short).await.cancel().await;
    idle(&process).await;
    tokio::time::sleep(LEASE * 2).await;
    assert_eq!(stage.status("k").await, None);
    let fences = Fences::default();
    process.charge("k").run(fences.body(Ok(String::new()))).await.unwrap();
    assert_eq!(*fences.0.lock(), [1]);
}
