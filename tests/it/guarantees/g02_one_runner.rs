//! G2: no two bodies run at once while the lease is kept up.

use std::time::Duration;

use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Operation, Source};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::stage::{GRAIN, KEPT, LEASE, PATIENCE, Stage, in_time, kind, until};

on_every_backend!(
    a_body_longer_than_its_lease_is_not_joined_by_another,
    a_body_that_blocks_its_thread_keeps_its_lease,
    a_lease_survives_renewals_that_fail_now_and_then,
    a_lease_survives_a_renewal_that_hangs,
    a_body_does_not_begin_when_answers_come_after_its_lease,
    many_processes_that_crash_and_retry_never_overlap,
);

async fn a_body_longer_than_its_lease_is_not_joined_by_another(stage: Stage) {
    let (one, two) = (stage.process().await, stage.process().await);
    let running = one.begin(&stage, "k", "first", |op| op.lease(KEPT)).await;
    let rival = tokio::spawn({
        let (two, stage) = (two.clone(), stage.clone());
        async move { two.charge("k").wait(PATIENCE).run_with_outcome(stage.body("k", "second")).await }
    });
    sleep(KEPT * 2).await;
    assert_eq!(
        kind(two.idem.operation("charge").key("k").run(stage.body("k", "third")).await),
        ErrorKind::AlreadyProcessing
    );
    let first = running.finish().await.unwrap();
    assert_eq!(first.source, Source::Executed { recovered: false });
    let second = in_time(rival).await.unwrap().unwrap();
    assert_eq!((second.value.as_str(), second.is_replayed()), ("first", true));
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn a_body_that_blocks_its_thread_keeps_its_lease(stage: Stage) {
    let (one, two) = (stage.process().await, stage.process().await);
    let gate = crate::stage::Gate::default();
    let blocking = tokio::spawn({
        let (one, inside, ledger) = (one.clone(), gate.clone(), stage.ledger.clone());
        async move {
            let body = async {
                let run = ledger.start("k", "");
                inside.open();
                std::thread::sleep(KEPT * 2);
                run.finish("");
                Ok::<_, Error>("blocked".to_owned())
            };
            one.charge("k").lease(KEPT).run_with_outcome(body).await
        }
    });
    in_time(gate.pass()).await;
    let second = two.charge("k").wait(PATIENCE).run_with_outcome(stage.body("k", "second"));
    let second = in_time(second).await.unwrap();
    assert_eq!((second.value.as_str(), second.is_replayed()), ("blocked", true));
    let first = in_time(blocking).await.unwrap().unwrap();
    assert_eq!(first.source, Source::Executed { recovered: false });
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn a_lease_survives_renewals_that_fail_now_and_then(stage: Stage) {
    let (one, two) = (stage.process().await, stage.process().await);
    let lease = KEPT;
    for fault in [Fault::Refuse, Fault::LoseRequest, Fault::LoseReply] {
        one.faults.next(Verb::Renew, fault);
    }
    let running = one.begin(&stage, "k", "first", |op| op.lease(lease)).await;
    sleep(lease * 2).await;
    let rival = two.charge("k").run(stage.body("k", "second"));
    assert_eq!(kind(rival.await), ErrorKind::AlreadyProcessing);
    assert!(one.faults.calls(Verb::Renew) > 3, "it was renewed after three failures");
    let first = running.finish().await.unwrap();
    assert_eq!(first.source, Source::Executed { recovered: false });
}

async fn a_lease_survives_a_renewal_that_hangs(stage: Stage) {
    let (one, two) = (stage.process().await, stage.process().await);
    let lease = Duration::from_millis(900);
    one.faults.next(Verb::Renew, Fault::Hang);
    let running = one.begin(&stage, "k", "first", |op| op.lease(lease)).await;
    sleep(lease * 2).await;
    let rival = two.charge("k").run(stage.body("k", "second"));
    assert_eq!(kind(rival.await), ErrorKind::AlreadyProcessing);
    assert_eq!(running.finish().await.unwrap().source, Source::Executed { recovered: false });
}

/// The answer to the claim is late, so the lease is renewed before the body begins; and the answer to that is late too.
async fn a_body_does_not_begin_when_answers_come_after_its_lease(stage: Stage) {
    let (one, two) = (stage.process().await, stage.process().await);
    one.faults.next(Verb::Claim, Fault::DelayReply(LEASE / 2));
    one.faults.next(Verb::Renew, Fault::DelayReply(LEASE * 6));
    let late = tokio::spawn({
        let (one, stage) = (one.clone(), stage.clone());
        let wait = PATIENCE;
        async move {
            one.charge("k").lease(LEASE).wait(wait).run_with_outcome(stage.body("k", "late")).await
        }
    });
    until("the renewal is asked for", || one.faults.calls(Verb::Renew) == 1).await;
    sleep(LEASE + GRAIN).await;
    let patient = |op: Operation| op.lease(PATIENCE).wait(PATIENCE);
    let running = two.begin(&stage, "k", "taken over", patient).await;
    sleep(LEASE * 6).await;
    assert_eq!(stage.ledger.executions("k"), 1, "the late answer began a second body");
    let taken_over = running.finish().await.unwrap();
    assert_eq!(taken_over.source, Source::Executed { recovered: true });
    let late = in_time(late).await.unwrap().unwrap();
    assert_eq!((late.value.as_str(), late.is_replayed()), ("taken over", true));
}

/// Every caller is cancelled at a random moment and tries again, until one of its calls comes through.
async fn many_processes_that_crash_and_retry_never_overlap(stage: Stage) {
    let mut callers = JoinSet::new();
    for seed in 0..16 {
        let (process, stage) = (stage.process().await, stage.clone());
        callers.spawn(async move {
            let mut random = Lcg(seed);
            for attempt in 0.. {
                let body = async {
                    let run = stage.ledger.start("k", "");
                    sleep(Duration::from_millis(15)).await;
                    run.finish("");
                    Ok::<_, Error>("done".to_owned())
                };
                let call = process.charge("k").wait(PATIENCE).run(body);
                let patience = Duration::from_millis(1 + random.next() % 40 + attempt);
                match timeout(patience, call).await {
                    Ok(value) => return value.unwrap(),
                    Err(_) => sleep(Duration::from_millis(random.next() % 10)).await,
                }
            }
            unreachable!("the attempts do not end")
        });
    }
    let values = in_time(callers.join_all()).await;
    assert!(values.iter().all(|value| value == "done"));
    assert_eq!(stage.ledger.max_concurrent("k"), 1);
}

/// Numbers that are the same in every run.
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}
