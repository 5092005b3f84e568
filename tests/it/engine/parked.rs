//! How one learns that an operation is parked: a line at WARN, a counter, and a gauge of what still waits.

use std::time::Duration;

use idem_runtime::ErrorKind;
use idem_runtime::record::CrashPolicy;
use idem_runtime::testing::{Fault, Verb};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::seen::Seen;
use crate::stage::{Process, Stage, in_time, kind, until};

/// Adds what was parked since it was last asked, and by how much the gauge of what waits has changed.
fn parked(of: &Snapshotter, counted: &mut u64, waiting: &mut f64) {
    for (key, _, description, value) in of.snapshot().into_vec() {
        if !key.key().name().starts_with("idempotency_parked") {
            continue;
        }
        assert!(description.is_some(), "{} is not described", key.key().name());
        let labels: Vec<_> = key.key().labels().map(|label| (label.key(), label.value())).collect();
        assert_eq!(labels, [("operation", "charge")]);
        match value {
            DebugValue::Counter(more) => *counted += more,
            DebugValue::Gauge(change) => *waiting += change.into_inner(),
            DebugValue::Histogram(_) => panic!("{key:?}"),
        }
    }
}

async fn refused(process: &Process, stage: &Stage, key: &str) {
    let call = process.charge(key).run(stage.body(key, "again"));
    assert_eq!(kind(in_time(call).await), ErrorKind::Indeterminate);
}

/// On one thread, which is what the recorder is for.
#[tokio::test]
async fn what_is_parked_is_counted_until_it_is_healed() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (mut counted, mut waiting) = (0, 0.0);
    let stage = Stage::on_memory();
    let late = stage.process().await;
    let park = |op: idem_runtime::Operation| op.on_crash(CrashPolicy::Park);
    let short = |op| park(op).lease(Duration::from_millis(30));
    let running = late.begin(&stage, "late", "late", short).await;
    late.faults.always(Verb::Renew, Fault::Refuse);

    let process = stage.process().await;
    process.begin(&stage, "cancelled", "", park).await.cancel().await;
    until("nothing is under way", || process.idem.in_flight() == 0).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    refused(&process, &stage, "late").await;
    for _ in 0..2 {
        refused(&process, &stage, "cancelled").await;
        refused(&process, &stage, "late").await;
    }
    parked(&snapshotter, &mut counted, &mut waiting);
    assert_eq!((counted, waiting.to_bits()), (2, 2_f64.to_bits()));

    let _ = running.finish().await.unwrap();
    assert!(
        process
            .charge("late")
            .run_with_outcome(stage.body("late", "again"))
            .await
            .unwrap()
            .is_replayed()
    );
    parked(&snapshotter, &mut counted, &mut waiting);
    assert_eq!((counted, waiting.to_bits()), (2, 1_f64.to_bits()));

    drop(process);
    parked(&snapshotter, &mut counted, &mut waiting);
    assert_eq!((counted, waiting.to_bits()), (2, 0_f64.to_bits()));
}

#[tokio::test]
async fn what_is_parked_is_told_at_warn_with_its_operation_and_not_its_key() {
    let seen = Seen::default();
    let _logging = seen.log();
    let stage = Stage::on_memory();
    stage.dead_owner("secret-4711", Duration::from_millis(1), CrashPolicy::Park).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let process = stage.process().await;
    for _ in 0..3 {
        refused(&process, &stage, "secret-4711").await;
    }
    let all = seen.all();
    let told: Vec<_> = all.lines().filter(|line| line.contains("is parked")).collect();
    let [line] = told[..] else { panic!("{told:#?}") };
    assert!(line.contains("WARN") && line.contains("operation=charge"), "{line}");
    assert!(line.contains("key_hash=") && line.contains("resolve its record"), "{line}");
    assert!(!all.contains("secret-4711"), "{all}");
}
