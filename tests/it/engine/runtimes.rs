//! Several runtimes in one process: whatever becomes of one, the calls on the others go on and keep their leases.
//!
//! actix-web has a current-thread runtime for each worker, tests have one each, and a program may drop the one on which it connected.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::{Claim, Claimed, Release, SharedStorage, Storage, Written};
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{ErrorKind, Source};
use testkit::redis::{ClusterSetup, SentinelSetup};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::stage::{KEPT, PATIENCE, Stage, TTL, block_on, in_time, kind};

/// Makes a test of each function named on every storage that several runtimes of a process share.
macro_rules! on_every_storage {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            use crate::stage::{Stage, block_on};

            #[test]
            fn on_memory() {
                super::$name(&Stage::on_memory());
            }

            #[test]
            fn on_redis() {
                super::$name(&Stage::on_redis());
            }

            #[test]
            fn on_postgres() {
                super::$name(&block_on(Stage::on_postgres()));
            }

            #[test]
            fn on_mysql() {
                super::$name(&block_on(Stage::on_mysql()));
            }

            #[test]
            fn on_sqlite() {
                super::$name(&block_on(Stage::on_sqlite()));
            }

            #[test]
            fn on_redis_cluster() {
                let cluster = super::ClusterSetup::start();
                super::$name(&super::on_cluster(&cluster));
            }

            #[test]
            fn on_redis_sentinel() {
                let setup = super::SentinelSetup::start();
                super::$name(&super::on_sentinel(&setup));
            }
        })*
    };
}

on_every_storage!(
    verbs_go_on_whatever_becomes_of_another_runtime,
    a_storage_needs_the_runtime_that_made_it_no_longer,
    a_runtime_that_stands_still_costs_another_none_of_its_leases,
    a_body_that_blocks_its_runtime_keeps_its_lease,
    a_body_whose_runtime_nobody_drives_keeps_its_lease,
    what_a_runtime_leaves_unwritten_is_written,
    a_call_on_a_runtime_that_stands_still_is_waited_for_no_longer_than_the_wait,
    a_claim_that_is_not_heard_of_refuses_no_duplicate,
);

fn on_cluster(cluster: &ClusterSetup) -> Stage {
    Stage::at(format!("redis-cluster://{}", hosts(cluster.urls())))
}

fn on_sentinel(setup: &SentinelSetup) -> Stage {
    let sentinels = hosts(setup.sentinel_urls());
    Stage::at(format!("redis-sentinel://{sentinels}/{}", setup.master_name()))
}

fn hosts(urls: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let host = |url: &str| url.trim_start_matches("redis://").trim_end_matches('/').to_owned();
    urls.into_iter().map(|url| host(url.as_ref())).collect::<Vec<_>>().join(",")
}

/// What becomes of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    /// It is driven on.
    GoesOn,
    /// A task blocks its only thread.
    StandsStill,
    /// Its thread does other things.
    IsNotDriven,
    /// It is dropped.
    Ends,
}

const ALL: [Becomes; 4] =
    [Becomes::GoesOn, Becomes::StandsStill, Becomes::IsNotDriven, Becomes::Ends];

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A thread with a runtime of which something has become, until this is dropped.
struct Other {
    last: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Other {
    /// Begins `tasks` on a current-thread runtime of its own, each is polled at least once, and then the runtime becomes this.
    fn begin<F>(becomes: Becomes, tasks: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let (last, until) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = current_thread();
            let local = tokio::task::LocalSet::new();
            local.spawn_local(tasks());
            let turns = async {
                // The tasks' turn, several times: each may have to yield before it has sent something.
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            };
            match becomes {
                Becomes::GoesOn => local.block_on(&runtime, async {
                    turns.await;
                    begun.send(()).unwrap();
                    while until.try_recv() == Err(mpsc::TryRecvError::Empty) {
                        sleep(Duration::from_millis(5)).await;
                    }
                }),
                Becomes::StandsStill => local.block_on(&runtime, async {
                    turns.await;
                    begun.send(()).unwrap();
                    until.recv().unwrap_err();
                }),
                Becomes::IsNotDriven => {
                    local.block_on(&runtime, turns);
                    begun.send(()).unwrap();
                    until.recv().unwrap_err();
                }
                Becomes::Ends => {
                    local.block_on(&runtime, turns);
                    drop(local);
                    drop(runtime);
                    begun.send(()).unwrap();
                    until.recv().unwrap_err();
                }
            }
        });
        has_begun.recv_timeout(PATIENCE).unwrap();
        Self { last: Some(last), thread: Some(thread) }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.last.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the other runtime panicked");
        }
    }
}

/// So many verbs at once that some queue, go in batches, and go on every connection there is.
const MANY: usize = 24;

fn claims(stage: &Stage, prefix: &str) -> Vec<Claim> {
    let claim = |number| stage.claim(&format!("{prefix}-{number}"), TTL, CrashPolicy::Retry);
    (0..MANY).map(claim).collect()
}

async fn claim_all(storage: SharedStorage, claims: Vec<Claim>) {
    let mut verbs = JoinSet::new();
    for claim in claims {
        let storage = storage.clone();
        verbs.spawn(async move { drop(storage.claim(&claim).await) });
    }
    verbs.join_all().await;
}

/// Far less than a runtime stands still for, and far more than a verb takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Every verb is answered, though other verbs were begun on a runtime of which something has become.
async fn every_verb_is_answered(stage: &Stage, storage: &SharedStorage, prefix: &str) {
    let mut verbs = JoinSet::new();
    for claim in claims(stage, prefix) {
        let storage = storage.clone();
        verbs.spawn(async move {
            let claimed = storage.claim(&claim).await.unwrap();
            assert!(matches!(claimed, Claimed::Acquired { .. }), "{claimed:?}");
            drop(storage.watch(&claim.key).await.unwrap());
            let (key, owner) = (claim.key.clone(), claim.owner);
            let renewal = idem_runtime::storage::Renew { key: key.clone(), owner };
            assert_eq!(storage.renew(&[renewal]).await.remove(0).unwrap(), Written::Done);
            let released = storage.release(&Release { key, owner }).await.unwrap();
            assert_eq!(released, Written::Done);
        });
    }
    let answered = timeout(SOON, verbs.join_all()).await;
    assert!(answered.is_ok(), "not every verb is answered");
}

fn verbs_go_on_whatever_becomes_of_another_runtime(stage: &Stage) {
    for becomes in ALL {
        let storage = block_on(stage.storage());
        let (there, claims) = (storage.clone(), claims(stage, &format!("{becomes:?}-theirs")));
        let _other = Other::begin(becomes, move || claim_all(there, claims));
        block_on(every_verb_is_answered(stage, &storage, &format!("{becomes:?}-ours")));
    }
}

fn a_storage_needs_the_runtime_that_made_it_no_longer(stage: &Stage) {
    for (ends, prefix) in [(false, "not-driven"), (true, "ended")] {
        let runtime = current_thread();
        let storage = runtime.block_on(stage.storage());
        let _not_driven = if ends { None } else { Some(runtime) };
        block_on(every_verb_is_answered(stage, &storage, prefix));
    }
}

/// The connections are lost, and the first to need new ones are calls on the other runtime.
async fn lost_connections(stage: &Stage, storage: &SharedStorage, becomes: Becomes) {
    // What was under way on a connection when it was cut fails.
    let claim = stage.claim(&format!("{becomes:?}-first"), TTL, CrashPolicy::Retry);
    for _ in 0..100 {
        match in_time(storage.claim(&claim)).await {
            Ok(_) => break,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
    every_verb_is_answered(stage, storage, &format!("{becomes:?}-ours")).await;
}

fn connections_are_made_whatever_becomes_of_another_runtime(stage: &Stage) {
    for becomes in ALL {
        let proxy = stage.proxy().unwrap();
        let storage = block_on(stage.storage_through(&proxy));
        proxy.cut();
        let (there, claims) = (storage.clone(), claims(stage, &format!("{becomes:?}-theirs")));
        let _other = Other::begin(becomes, move || claim_all(there, claims));
        block_on(lost_connections(stage, &storage, becomes));
    }
}

mod connections_are_made {
    use crate::stage::{Stage, block_on};

    #[test]
    fn on_redis() {
        super::connections_are_made_whatever_becomes_of_another_runtime(&Stage::on_redis());
    }

    #[test]
    fn on_postgres() {
        let stage = block_on(Stage::on_postgres());
        super::connections_are_made_whatever_becomes_of_another_runtime(&stage);
    }

    #[test]
    fn on_mysql() {
        let stage = block_on(Stage::on_mysql());
        super::connections_are_made_whatever_becomes_of_another_runtime(&stage);
    }
}

/// A body that is longer than its lease, beside a runtime of which something has become while calls of the same handle were under way.
fn a_runtime_that_stands_still_costs_another_none_of_its_leases(stage: &Stage) {
    for becomes in ALL {
        let (process, rival) = block_on(async { (stage.process().await, stage.process().await) });
        let (theirs, there) = (process.clone(), stage.clone());
        let other = Other::begin(becomes, move || async move {
            let mut calls = JoinSet::new();
            for number in 0..MANY {
                let key = format!("{becomes:?}-theirs-{number}");
                let call = theirs.charge(&key).lease(KEPT).run(there.body(&key, ""));
                calls.spawn(call);
            }
            calls.join_all().await;
            std::future::pending::<()>().await;
        });
        let key = format!("{becomes:?}-ours");
        block_on(async {
            let running = process.begin(stage, &key, "first", |op| op.lease(KEPT)).await;
            sleep(KEPT * 3).await;
            let second = rival.charge(&key).run(stage.body(&key, "second"));
            assert_eq!(kind(second.await), ErrorKind::AlreadyProcessing, "{becomes:?}");
            let outcome = running.finish().await.unwrap();
            assert_eq!(outcome.source, Source::Executed { recovered: false }, "{becomes:?}");
        });
        drop(other);
    }
}

/// A handler that computes on the only thread of its runtime: it is the owner all the same.
fn a_body_that_blocks_its_runtime_keeps_its_lease(stage: &Stage) {
    let (process, rival) = block_on(async { (stage.process().await, stage.process().await) });
    let (begun, has_begun) = mpsc::channel();
    let (last, until) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let body = async move {
            begun.send(()).unwrap();
            until.recv().unwrap_err();
            Ok::<_, idem_runtime::Error>("first".to_owned())
        };
        current_thread().block_on(process.charge("k").lease(KEPT).run_with_outcome(body))
    });
    has_begun.recv_timeout(PATIENCE).unwrap();
    std::thread::sleep(KEPT * 3);
    let second = block_on(rival.charge("k").run(stage.body("k", "second")));
    assert_eq!(kind(second), ErrorKind::AlreadyProcessing);
    drop(last);
    let outcome = thread.join().unwrap().unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
}

/// So is one whose runtime nobody drives for a while.
fn a_body_whose_runtime_nobody_drives_keeps_its_lease(stage: &Stage) {
    let (process, rival) = block_on(async { (stage.process().await, stage.process().await) });
    let runtime = current_thread();
    let running = runtime.block_on(process.begin(stage, "k", "first", |op| op.lease(KEPT)));
    std::thread::sleep(KEPT * 3);
    let second = block_on(rival.charge("k").run(stage.body("k", "second")));
    assert_eq!(kind(second), ErrorKind::AlreadyProcessing);
    let outcome = runtime.block_on(running.finish()).unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
}

/// The other runtime stands still in the middle of a claim, or of a body: a duplicate elsewhere waits for as long as it may, and no longer.
fn a_call_on_a_runtime_that_stands_still_is_waited_for_no_longer_than_the_wait(stage: &Stage) {
    for in_the_body in [false, true] {
        let budget = Duration::from_millis(500);
        let process = block_on(stage.process_with(|builder| builder.claim_timeout(budget)));
        let (theirs, key) = (process.clone(), format!("{in_the_body}"));
        let call = {
            let key = key.clone();
            move || async move {
                let body = std::future::pending::<Result<String, idem_runtime::Error>>();
                drop(theirs.charge(&key).lease(TTL).run(body).await);
            }
        };
        let other = if in_the_body {
            // Until the body has begun.
            let other = Other::begin(Becomes::GoesOn, call);
            let begun = || process.idem.in_flight() == 1;
            block_on(crate::stage::until("the call is under way", begun));
            other
        } else {
            Other::begin(Becomes::StandsStill, call)
        };
        let wait = Duration::from_secs(1);
        let begun = std::time::Instant::now();
        let follower = process.charge(&key).lease(TTL).wait(wait).run(stage.body(&key, ""));
        let answer = block_on(in_time(follower));
        let elapsed = begun.elapsed();
        match answer {
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                assert!((wait..wait + Duration::from_secs(10)).contains(&elapsed), "{elapsed:?}");
            }
            // The other one's claim has not been sent.
            Ok(_) => assert!(!in_the_body, "the body runs elsewhere"),
        }
        drop(other);
    }
}

/// The other runtime stands still before its claim is answered. What the storage would answer a duplicate is not kept from it.
fn a_claim_that_is_not_heard_of_refuses_no_duplicate(stage: &Stage) {
    for (becomes, wait) in [
        (Becomes::StandsStill, None),
        (Becomes::IsNotDriven, None),
        (Becomes::StandsStill, Some(PATIENCE)),
    ] {
        let budget = Duration::from_millis(500);
        let process = block_on(stage.process_with(|builder| builder.claim_timeout(budget)));
        process.faults.next(Verb::Claim, Fault::Hang);
        let key = format!("{becomes:?}-{wait:?}");
        let (theirs, their_key) = (process.clone(), key.clone());
        let other = Other::begin(becomes, move || async move {
            let body = std::future::pending::<Result<String, idem_runtime::Error>>();
            drop(theirs.charge(&their_key).run(body).await);
        });
        for _ in 0..2 {
            let duplicate = process.charge(&key);
            let duplicate = match wait {
                Some(wait) => duplicate.wait(wait),
                None => duplicate,
            };
            let value = block_on(in_time(duplicate.run(stage.body(&key, "second"))));
            assert_eq!(value.unwrap(), "second");
        }
        assert_eq!(stage.ledger.executions(&key), 1);
        drop(other);
    }
}

/// A caller goes away while its result is being written, and its runtime with it: the process is alive, so the result is written.
fn what_a_runtime_leaves_unwritten_is_written(stage: &Stage) {
    // Less than a server may take to answer: what was begun on the runtime is not waited for.
    const LEASE: Duration = Duration::from_secs(2);
    // A call that is still there when its runtime is no longer driven is the owner.
    for (becomes, gone_before, finishes) in [
        (Becomes::IsNotDriven, true, false),
        (Becomes::IsNotDriven, true, true),
        (Becomes::Ends, true, false),
        (Becomes::Ends, false, false),
    ] {
        let key = format!("{becomes:?}-{gone_before}-{finishes}");
        let process = block_on(stage.process());
        process.faults.next(Verb::Complete, Fault::Delay(Duration::from_millis(300)));
        let runtime = current_thread();
        let (call, body) = (process.charge(&key).lease(LEASE), stage.body(&key, "first"));
        let call = if finishes {
            call.finish_on_cancel().run(body).boxed()
        } else {
            call.run(body).boxed()
        };
        runtime.block_on(async {
            let call = tokio::spawn(call);
            let begun = || process.faults.calls(Verb::Complete) == 1;
            crate::stage::until("the result is being written", begun).await;
            if gone_before {
                call.abort();
                drop(call.await);
            }
        });
        let _not_driven = (becomes == Becomes::IsNotDriven).then_some(runtime);
        block_on(crate::stage::until("it is written", || process.idem.in_flight() == 0));
        let second =
            block_on(stage.process()).charge(&key).run_with_outcome(stage.body(&key, "second"));
        let replay = block_on(second).unwrap();
        assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true), "{key}");
    }
}
