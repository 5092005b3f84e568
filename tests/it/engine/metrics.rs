//! What the feature `metrics` counts of calls.

use std::collections::BTreeMap;
use std::time::Duration;

use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::stage::Stage;

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
        process.charge(key).call(stage.body(key, "value")).await.unwrap();
    }
    let other = process.charge("a").with_fingerprint(idem_runtime::Fingerprint::of("charge", &1));
    other.call(stage.body("a", "other")).await.unwrap_err();
    for _ in 0..2 {
        process.charge("failed").call(async { declined() }).await.unwrap_err();
    }
    process.faults.next(Verb::Complete, Fault::Fail(StorageErrorKind::Corrupt));
    process.charge("c").call(stage.body("c", "value")).await.unwrap();
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
