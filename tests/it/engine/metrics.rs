//! What the feature `metrics` counts of calls.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use idem_runtime::hooks::AbandonReason::{Cancelled, Panicked};
use idem_runtime::policy::ReplayErrors;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Fingerprint, Operation};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use serde::{Deserialize, Serialize};

use crate::stage::{PATIENCE, Stage, in_time};

/// How often each outcome of the operation `charge` was counted, and how often it was timed.
pub(crate) fn counted(of: &Snapshotter) -> BTreeMap<String, (u64, usize)> {
    let mut counted = BTreeMap::<_, (u64, usize)>::new();
    for (key, _, _, value) in of.snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().map(|label| (label.key(), label.value())).collect();
        let [("operation", "charge"), ("outcome", outcome)] = labels[..] else {
            panic!("{labels:?}");
        };
        let outcome = counted.entry(outcome.to_owned()).or_default();
        match (key.key().name(), value) {
            ("idempotency_calls_total", DebugValue::Counter(calls)) => outcome.0 += calls,
            ("idempotency_call_seconds", DebugValue::Histogram(times)) => outcome.1 += times.len(),
            other => panic!("{other:?}"),
        }
    }
    counted
}

pub(crate) fn expected(of: &[(&str, u64)]) -> BTreeMap<String, (u64, usize)> {
    let times = |calls| (calls, usize::try_from(calls).unwrap());
    of.iter().map(|(outcome, calls)| ((*outcome).to_owned(), times(*calls))).collect()
}

fn declined() -> Result<String, Error> {
    Err(Error::new(ErrorKind::Configuration, "declined"))
}

/// On one thread, which is what the recorder is for.
#[tokio::test]
async fn each_call_is_counted_and_timed_as_what_became_of_it() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::on_memory();
    let process = stage.process().await;
    stage.dead_owner("dead", Duration::from_millis(1), CrashPolicy::Retry).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    for key in ["a", "b", "a", "a", "dead"] {
        process.charge(key).run(stage.body(key, "value")).await.unwrap();
    }
    let other = process.charge("a").fingerprint(&1);
    other.run(stage.body("a", "other")).await.unwrap_err();
    for _ in 0..2 {
        process.charge("failed").run(async { declined() }).await.unwrap_err();
    }
    process.faults.next(Verb::Complete, Fault::Fail(StorageErrorKind::Corrupt));
    process.charge("c").run(stage.body("c", "value")).await.unwrap();
    let counts = [
        ("executed", 2),
        ("failed", 1),
        ("mismatch", 1),
        ("previously_failed", 1),
        ("recovered", 1),
        ("replayed", 2),
        ("unrecorded", 1),
    ];
    assert_eq!(counted(&snapshotter), expected(&counts));
}

/// Polls `call` once and drops it: its body, or the storage, does not let it pass.
pub(crate) async fn dropped_half_way<F: Future>(call: F) {
    let mut call = Box::pin(call);
    for _ in 0..5 {
        assert!(futures_util::poll!(&mut call).is_pending());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_without_an_end_is_counted_by_how_far_it_came() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::on_memory();
    let process = stage.process().await;
    let endless = || std::future::pending::<Result<String, Error>>();
    let panics = async || -> Result<String, Error> { panic!("on purpose") };
    let down = || process.faults.next(Verb::Claim, Fault::Fail(StorageErrorKind::Full));

    drop(process.charge("never polled").run(endless()));
    dropped_half_way(process.charge("a").run(endless())).await;
    down();
    dropped_half_way(process.charge("b").fail_open().run(endless())).await;
    process.faults.next(Verb::Claim, Fault::Hang);
    dropped_half_way(process.charge("c").run(endless())).await;
    let running = process.begin(&stage, "d", "value", |op| op).await;
    let waits = process.charge("d").wait(Duration::from_secs(60));
    dropped_half_way(waits.run(endless())).await;
    assert_eq!(running.finish().await.unwrap().value, "value");
    process.faults.next(Verb::Complete, Fault::Hang);
    dropped_half_way(process.charge("e").run(stage.body("e", "value"))).await;
    AssertUnwindSafe(process.charge("f").run(panics())).catch_unwind().await.unwrap_err();
    down();
    let open = process.charge("g").fail_open().run(panics());
    AssertUnwindSafe(open).catch_unwind().await.unwrap_err();

    let counts =
        [("cancelled", 2), ("executed", 1), ("panicked", 2), ("undelivered", 1), ("withdrawn", 2)];
    assert_eq!(counted(&snapshotter), expected(&counts));
    assert_eq!(process.heard.abandoned(), [Cancelled, Cancelled, Panicked, Panicked]);
}

/// An error that is replayed as itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Declined {
    ByBank,
    Refused(String),
}

impl From<Error> for Declined {
    fn from(error: Error) -> Self {
        Self::Refused(error.kind().as_str().to_owned())
    }
}

/// It failed once, however often that is told.
#[tokio::test]
async fn a_replayed_failure_is_a_replay() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::on_memory();
    let (process, elsewhere) = (stage.process().await, stage.process().await);
    let declined = async || Err::<String, _>(Declined::ByBank);
    for process in [&process, &process, &elsewhere] {
        let call = process.charge("k").errors(ReplayErrors).run(declined());
        assert_eq!(call.await, Err(Declined::ByBank));
        let call = process.charge("detached").errors(ReplayErrors).finish_on_cancel();
        assert_eq!(call.run(declined()).await, Err(Declined::ByBank));
    }
    // One that waits for a call in this process, too.
    let running = process.charge("slow").errors(ReplayErrors).run(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        declined().await
    });
    let waits = process.charge("slow").wait(PATIENCE).errors(ReplayErrors).run(declined());
    let both = in_time(futures_util::future::join(running, waits)).await;
    assert_eq!(both, (Err(Declined::ByBank), Err(Declined::ByBank)));
    assert_eq!(counted(&snapshotter), expected(&[("failed", 3), ("replayed", 5)]));
}

#[tokio::test]
async fn a_call_that_is_refused_before_the_storage_is_asked_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::on_memory();
    let process = stage.process().await;
    let value = async || Ok::<_, Error>("value".to_owned());
    let refused = async |operation: Operation, kind: ErrorKind| {
        assert_eq!(operation.run(value()).await.unwrap_err().kind(), kind);
    };
    let charge = || process.charge("k");
    refused(process.charge(""), ErrorKind::KeyGeneration).await;
    refused(process.idem.operation("charge"), ErrorKind::KeyGeneration).await;
    refused(charge().tenant(""), ErrorKind::KeyGeneration).await;
    refused(charge().ttl(Duration::ZERO), ErrorKind::Configuration).await;
    refused(charge().lease(Duration::ZERO), ErrorKind::Configuration).await;
    let detached = process.charge("").finish_on_cancel().run(value()).await;
    assert_eq!(detached.unwrap_err().kind(), ErrorKind::KeyGeneration);
    refused(charge().fingerprint(&f64::NAN), ErrorKind::KeyGeneration).await;
    let missing = || Err(Error::new(ErrorKind::NotConfigured, "there is no handle"));
    let args = Fingerprint::of("charge", &1);
    let without = idem_runtime::macro_support::operation(missing(), "charge", args);
    refused(without, ErrorKind::NotConfigured).await;
    // One that is never polled is no call.
    drop(process.charge("").run(value()));
    let counts = [("configuration", 2), ("key_generation", 5), ("not_configured", 1)];
    assert_eq!(counted(&snapshotter), expected(&counts));
}

/// Whoever made the call is at fault, and not the body.
#[tokio::test]
async fn the_calls_around_a_reentrant_one_have_not_failed() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::on_memory();
    let process = stage.process().await;
    let itself = || process.charge("k").run(stage.body("k", "inner"));
    let between = process.charge("between").run(itself());
    process.charge("k").run(between).await.unwrap_err();
    // One that does not mind is executed like any other, and one that fails elsewhere has failed.
    let minds_not = async {
        process.charge("m").run(stage.body("m", "inner")).await.unwrap_err();
        Ok::<_, Error>("outer".to_owned())
    };
    process.charge("m").run(minds_not).await.unwrap();
    process.charge("n").run(async { declined() }).await.unwrap_err();
    let counts = [("executed", 1), ("failed", 1), ("reentrant", 4)];
    assert_eq!(counted(&snapshotter), expected(&counts));
}
