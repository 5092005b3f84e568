//! G3: only the stored owner writes; a record that vanished is never resurrected.

use idem_runtime::record::{CrashPolicy, OwnerId, Status};
use idem_runtime::storage::{Claim, Claimed, Lost, Release, Renew, Storage, Written};
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Operation, Source, current};
use idem_tests::{Body, Ended, Report};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::stage::{GRAIN, LEASE, PATIENCE, Process, Running, Stage, TTL, in_time, kind, until};
use crate::worker::Worker;

on_every_backend!(
    stale_owner_cannot_complete,
    stale_owner_of_a_key_that_is_running_elsewhere_gets_lease_lost,
    stale_owner_cannot_fail,
    stale_owner_cannot_release,
    stale_owner_cannot_renew,
    stale_owner_cannot_park,
    stale_owner_is_told_by_lease_lost,
    vanished_record_is_not_resurrected_by_complete,
    vanished_record_is_not_resurrected_by_a_renewal,
    fences_grow_with_every_takeover,
    a_late_owner_that_nobody_replaced_completes,
);

on_every_shared_backend!(stopped_process_cannot_overwrite_when_it_is_continued);

/// A process that is silent: its owner's lease runs out although its body goes on.
async fn silenced(stage: &Stage, key: &str, value: &str) -> (Process, Running) {
    let process = stage.process().await;
    let running = process.begin(stage, key, value, |op| op).await;
    // Not before: a claim that is answered late is renewed before its body begins.
    process.faults.always(Verb::Renew, Fault::Refuse);
    (process, running)
}

async fn stale_owner_cannot_complete(stage: Stage) {
    let (silent, running) = silenced(&stage, "k", "stale").await;
    let two = stage.process().await;
    let second = two.charge("k").wait(PATIENCE).run_with_outcome(stage.body("k", "second"));
    let second = in_time(second).await.unwrap();
    assert_eq!(second.source, Source::Executed { recovered: true });

    let first = running.finish().await.unwrap();
    assert_eq!((first.value.as_str(), first.is_replayed()), ("second", true));
    let later =
        stage.process().await.charge("k").run_with_outcome(stage.body("k", "later")).await.unwrap();
    assert_eq!(later.value, "second");
    assert_eq!(silent.heard.unrecorded(), 0);
    assert_eq!(silent.idem.in_flight(), 0);
}

async fn stale_owner_of_a_key_that_is_running_elsewhere_gets_lease_lost(stage: Stage) {
    let (_, running) = silenced(&stage, "k", "stale").await;
    let two = stage.process().await;
    let second = two.begin(&stage, "k", "second", |op| op.wait(PATIENCE)).await;
    assert_eq!(kind(running.finish().await), ErrorKind::LeaseLost);
    assert_eq!(second.finish().await.unwrap().source, Source::Executed { recovered: true });
    let later = two.charge("k").run_with_outcome(stage.body("k", "later")).await.unwrap();
    assert_eq!(later.value, "second");
}

async fn stale_owner_cannot_fail(stage: Stage) {
    let (silent, two) = (stage.process().await, stage.process().await);
    let body = async {
        silent.faults.always(Verb::Renew, Fault::Refuse);
        let second = two.charge("k").wait(PATIENCE).run_with_outcome(stage.body("k", "second"));
        assert_eq!(in_time(second).await?.value, "second");
        Err::<String, _>(Error::new(ErrorKind::Storage, "declined"))
    };
    let first = in_time(silent.charge("k").run_with_outcome(body)).await.unwrap();
    assert_eq!((first.value.as_str(), first.is_replayed()), ("second", true));
    assert_eq!(stage.record("k").await.unwrap().status(), Status::Completed);
}

async fn stale_owner_cannot_release(stage: Stage) {
    let (silent, running) = silenced(&stage, "k", "stale").await;
    let two = stage.process().await;
    let second = two.begin(&stage, "k", "second", |op| op.wait(PATIENCE)).await;
    running.cancel().await;
    until("the release was answered", || silent.idem.in_flight() == 0).await;
    assert!(silent.faults.calls(Verb::Release) > 0);
    assert_eq!(stage.record("k").await.unwrap().status(), Status::Processing);
    assert_eq!(second.finish().await.unwrap().value, "second");
}

/// Neither its own lease, which is over, nor the other's, which would then outlive that one.
async fn stale_owner_cannot_renew(stage: Stage) {
    let first = stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
    sleep(LEASE + GRAIN).await;
    let second = stage.dead_owner("k", TTL, CrashPolicy::Retry).await;
    let storage = stage.storage().await;
    let renew = async |claim: &Claim| {
        let renew = Renew { key: claim.key.clone(), owner: claim.owner };
        storage.renew(&[renew]).await.remove(0).unwrap()
    };
    let until = async || stage.record("k").await.unwrap().expires_at.as_millis();
    let before = until().await;
    sleep(LEASE).await;
    assert_eq!(renew(&first).await, Written::LeaseLost(Lost::TakenOver));
    // A server that tells how much time is left may read a little more or less.
    assert!(until().await.abs_diff(before) < 100);
    assert_eq!(renew(&second).await, Written::Done);
    assert!(until().await >= before + 100);
}

/// Its record was parked and healed by nobody but itself; what it dropped cannot undo what was completed.
async fn stale_owner_cannot_park(stage: Stage) {
    let silent = stage.process().await;
    let park = |op: Operation| op.on_crash(CrashPolicy::Park);
    let running = silent.begin(&stage, "k", "stale", park).await;
    silent.faults.always(Verb::Renew, Fault::Refuse);
    // An operator resolves it: the record is somebody else's by now.
    vanish(&stage, "k", owner_of(&stage, "k").await).await;
    stage.process().await.charge("k").run(stage.body("k", "second")).await.unwrap();
    running.cancel().await;
    until("the park was answered", || silent.idem.in_flight() == 0).await;
    assert!(silent.faults.calls(Verb::Complete) > 0);
    assert_eq!(stage.record("k").await.unwrap().status(), Status::Completed);
}

async fn owner_of(stage: &Stage, key: &str) -> OwnerId {
    stage.record(key).await.unwrap().owner
}

async fn stale_owner_is_told_by_lease_lost(stage: Stage) {
    let silent = stage.process().await;
    let body = async {
        silent.faults.always(Verb::Renew, Fault::Refuse);
        let context = current().unwrap();
        in_time(context.lease_lost()).await;
        // By now somebody may take over, and does.
        stage.process().await.charge("k").wait(PATIENCE).run(stage.body("k", "second")).await
    };
    assert!(in_time(silent.charge("k").run_with_outcome(body)).await.unwrap().is_replayed());
}

/// Frees a key behind the back of its owner, whose id is `owner`.
async fn vanish(stage: &Stage, key: &str, owner: OwnerId) {
    let release = Release { key: stage.record_key(key), owner };
    let storage = stage.storage().await;
    assert_eq!(storage.release(&release).await.unwrap(), Written::Done);
}

async fn vanished_record_is_not_resurrected_by_complete(stage: Stage) {
    let process = stage.process().await;
    let body = async {
        vanish(&stage, "k", current().unwrap().owner()).await;
        stage.body("k", "first").await
    };
    let first = process.charge("k").run_with_outcome(body).await.unwrap();
    assert_eq!((first.value.as_str(), first.source), ("first", Source::Unrecorded));
    assert_eq!(process.heard.unrecorded(), 1);
    assert_eq!(stage.status("k").await, Some(Status::Released));
}

async fn vanished_record_is_not_resurrected_by_a_renewal(stage: Stage) {
    let process = stage.process().await;
    let (owner, told) = oneshot::channel();
    let body = async {
        let context = current().unwrap();
        let _ = owner.send(context.owner());
        in_time(context.lease_lost()).await;
        stage.body("k", "first").await
    };
    let call = process.charge("k").run_with_outcome(body);
    let harm = async {
        vanish(&stage, "k", told.await.unwrap()).await;
        sleep(LEASE * 2).await;
        assert_eq!(stage.status("k").await, Some(Status::Released));
    };
    let (first, ()) = in_time(Box::pin(async { tokio::join!(call, harm) })).await;
    assert_eq!(first.unwrap().source, Source::Unrecorded);
    assert!(process.faults.calls(Verb::Renew) > 0);
    assert_eq!(stage.status("k").await, Some(Status::Released));
}

async fn fences_grow_with_every_takeover(stage: Stage) {
    let lease = std::time::Duration::from_millis(50);
    let storage = stage.storage().await;
    let mut fences = Vec::new();
    while fences.len() < 3 {
        let claim = stage.claim("k", lease, CrashPolicy::Retry);
        match storage.claim(&claim).await.unwrap() {
            Claimed::Acquired { fence, .. } => fences.push(fence.get()),
            Claimed::InProgress { lease_left } => sleep(lease_left).await,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fences, [1, 2, 3]);
    let process = stage.process().await;
    let body = async { Ok::<_, Error>(current().unwrap().attempt()) };
    assert_eq!(in_time(process.charge("k").wait(PATIENCE).run(body)).await.unwrap(), 4);
    assert_eq!(process.heard.takeovers(), 1);
}

async fn a_late_owner_that_nobody_replaced_completes(stage: Stage) {
    let (process, running) = silenced(&stage, "k", "late").await;
    sleep(LEASE * 2).await;
    let outcome = running.finish().await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
    assert_eq!(process.heard.unrecorded(), 0);
    let later =
        stage.process().await.charge("k").run_with_outcome(stage.body("k", "later")).await.unwrap();
    assert_eq!(later.value, "late");
}

/// A process that is stopped past its lease while another completes.
fn stopped_process_cannot_overwrite_when_it_is_continued(stage: &Stage) {
    let open = stage.file("open");
    let mut job = stage.job("k", "stopped");
    job.body = Body::AwaitsFile(open.clone());
    let mut stopped = Worker::start(&job);
    stopped.go_and_begin();
    stopped.process.pause();

    "second".clone_into(&mut job.value);
    job.body = Body::Sleeps(std::time::Duration::ZERO);
    let mut second = Worker::start(&job);
    second.go();
    let executed = Ended::Executed { value: "second".to_owned(), recovered: true };
    assert_eq!(second.ended(1), [executed]);

    stopped.process.resume();
    // Its keeper finds out by itself, while the body still runs.
    assert_eq!(stopped.next(), Report::LeaseLost);
    std::fs::write(open, "").unwrap();
    let replayed = Ended::Replayed { value: "second".to_owned() };
    assert_eq!(stopped.ended(1), std::slice::from_ref(&replayed));

    let mut later = Worker::start(&job);
    later.go();
    assert_eq!(later.ended(1), [replayed]);
    assert_eq!(stage.ledger.executions("k"), 2);
}
